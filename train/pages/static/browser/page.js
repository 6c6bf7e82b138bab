// The page of reports: the form, the list, and the address that says what they show.
"use strict";
(function () {
  const PER_PAGE = 25;
  const make = cxr.make;
  const FIELDS = ["status", "set", "split", "view", "boxes"];
  const byId = function (id) { return document.getElementById(id); };
  let index = null;
  let state = null;
  let found = [];
  let shown = ""; // the keys of the list, to leave it alone where nothing changed
  let typing = false;
  let dialog = null;
  let last = ""; // the key of the sample that the dialog showed

  function pages() { return Math.max(1, Math.ceil(found.length / PER_PAGE)); }

  // Puts a changed state into the address: a new entry of the history, or in place of the last.
  function put(changes, instead) {
    state = Object.assign({}, state, changes);
    const address = "#" + cxr.format(state);
    if (instead) history.replaceState(null, "", address);
    else if (address !== (location.hash || "#")) history.pushState(null, "", address);
    render();
  }

  function filter(changes, instead) {
    put(Object.assign({ page: 1, sample: "" }, changes), instead);
  }

  // Shows the state: form, list, number of results, dialog.
  function render() {
    found = cxr.select(state);
    if (cxr.complete && state.page > pages()) state.page = pages();
    fillForm();
    fillList();
    announce();
    fillPager();
    showSample();
  }

  function fillForm() {
    if (document.activeElement !== byId("q") || !typing) byId("q").value = state.q;
    FIELDS.forEach(function (name) { if (byId(name)) byId(name).value = state[name]; });
    const chips = state.labels.map(function (condition) {
      const chip = make("button", { type: "button", "aria-label": "Remove " + cxr.said(condition) },
        cxr.said(condition), " \u00d7");
      chip.addEventListener("click", function () {
        filter({ labels: state.labels.filter(function (each) { return each !== condition; }) });
        byId("label").focus();
      });
      return make("li", null, chip);
    });
    byId("conditions").replaceChildren(...chips);
    byId("clear").hidden = !isFiltered();
  }

  function isFiltered() {
    return Boolean(state.q || state.labels.length || FIELDS.some(function (name) { return state[name]; }));
  }

  function fillList() {
    const rows = found.slice((state.page - 1) * PER_PAGE, state.page * PER_PAGE);
    const keys = JSON.stringify([rows.map(function (row) { return row.key; }), state.q]);
    if (keys === shown) return;
    shown = keys;
    const terms = cxr.terms(state.q);
    byId("samples").replaceChildren(...rows.map(function (row) { return itemOf(row, terms); }));
  }

  function itemOf(row, terms) {
    const image = make("img", { src: row.image, width: row.width, height: row.height, alt: "", loading: "lazy", decoding: "async" });
    const boxes = row.boxes.length ? ", " + row.boxes.length + (row.boxes.length === 1 ? " box" : " boxes") : "";
    const open = make("button", { type: "button", class: "open", "data-key": row.key,
      "aria-label": "Enlarge: " + row.title + ", " + cxr.factsOf(row).join(", ") + boxes }, image,
    row.boxes.length ? make("span", { class: "badge", "aria-hidden": "true" }, boxes.slice(2)) : null);
    open.addEventListener("click", function () { put({ sample: row.key }); });
    return make("li", { class: "item" }, open, make("div", { class: "about" },
      make("h3", null, row.title, make("span", { class: "facts" }, " " + cxr.factsOf(row).join(" \u00b7 "))),
      cxr.labelsOf(row), cxr.reportOf(index, row, terms)));
  }

  function announce() {
    const number = found.length.toLocaleString("en") + (found.length === 1 ? " sample" : " samples");
    const of = " of " + total().toLocaleString("en");
    byId("count").textContent = cxr.complete
      ? (found.length ? number + of : "No sample matches" + of)
      : number + " so far, loading \u2026";
    byId("empty").hidden = !cxr.complete || found.length > 0;
  }

  function total() {
    return index.sets.reduce(function (sum, set) { return sum + set.shown; }, 0);
  }

  function fillPager() {
    const many = pages();
    document.querySelectorAll(".pager").forEach(function (pager) {
      pager.hidden = many < 2;
      pager.querySelector(".at").textContent = "Page " + state.page + " of " + many;
      pager.querySelector(".back").disabled = state.page <= 1;
      pager.querySelector(".on").disabled = state.page >= many;
    });
  }

  function turn(step) {
    put({ page: state.page + step });
    byId("results").focus({ preventScroll: true });
    byId("results").scrollIntoView({ block: "start" });
  }

  // Opens, changes or closes the dialog, as the state says.
  function showSample() {
    const missing = byId("missing");
    missing.hidden = true;
    if (!state.sample) {
      if (dialog && dialog.element.open) dialog.element.close();
      return;
    }
    const at = found.findIndex(function (row) { return row.key === state.sample; });
    const row = at >= 0 ? found[at] : cxr.samples.find(function (each) { return each.key === state.sample; });
    if (row) {
      if (!dialog) dialog = cxr.dialog(index, step, closed);
      last = row.key;
      dialog.show(row, at, at >= 0 ? found.length : 0, cxr.terms(state.q));
    } else if (cxr.complete) {
      missing.hidden = false;
      missing.querySelector("code").textContent = state.sample;
    }
  }

  function step(by) {
    const at = found.findIndex(function (row) { return row.key === state.sample; }) + by;
    if (at < 0 || at >= found.length) return;
    put({ sample: found[at].key, page: Math.floor(at / PER_PAGE) + 1 }, true);
  }

  // The focus goes back to the image of the list that the dialog showed last.
  function closed() {
    if (state.sample) put({ sample: "" });
    const open = Array.from(document.querySelectorAll(".open")).find(function (each) { return each.dataset.key === last; });
    (open || byId("results")).focus();
  }

  function listen() {
    const q = byId("q");
    q.addEventListener("input", function () {
      const first = !typing;
      typing = true;
      filter({ q: q.value }, !first); // a search is one entry of the history, not one a letter
    });
    ["focus", "blur"].forEach(function (kind) { q.addEventListener(kind, function () { typing = false; }); });
    FIELDS.forEach(function (name) {
      if (byId(name)) byId(name).addEventListener("change", function (event) { filter({ [name]: event.target.value }); });
    });
    if (byId("add")) byId("add").addEventListener("click", addLabel);
    byId("clear").addEventListener("click", function () {
      const none = { q: "", labels: [] };
      FIELDS.forEach(function (name) { none[name] = ""; });
      filter(none);
      q.focus();
    });
    document.querySelectorAll(".pager .back").forEach(function (each) { each.addEventListener("click", function () { turn(-1); }); });
    document.querySelectorAll(".pager .on").forEach(function (each) { each.addEventListener("click", function () { turn(1); }); });
    byId("filters").addEventListener("submit", function (event) { event.preventDefault(); });
    ["popstate", "hashchange"].forEach(function (kind) { addEventListener(kind, restore); });
    addEventListener("keydown", function (event) {
      const free = !event.target.closest("input, select, dialog");
      if (event.key === "/" && free) { event.preventDefault(); q.focus(); }
    });
  }

  function addLabel() {
    const condition = byId("label").value + ":" + byId("value").value;
    if (byId("label").value && !state.labels.includes(condition)) filter({ labels: state.labels.concat(condition) });
  }

  function restore() {
    const next = cxr.parse(location.hash.slice(1));
    if (state && cxr.format(next) === cxr.format(state)) return;
    state = next;
    typing = false;
    render();
  }

  async function start() {
    state = cxr.parse(location.hash.slice(1));
    try {
      index = await cxr.load("samples/index.js", "index", 0);
      listen();
      // on a phone the filters are folded, unless one is set
      byId("more").open = isFiltered() || !matchMedia("(max-width: 48rem)").matches;
      await cxr.loadAll(index, render);
    } catch (error) {
      byId("count").textContent = "The file " + error.message + " cannot be loaded: copy the whole folder of the site.";
      throw error;
    }
  }
  start();
})();
