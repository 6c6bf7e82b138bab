// Makes the parts of the page that show a sample: its facts, its labels, its report.
"use strict";
(function () {
  const SIGN = { "1": "+", "-1": "?", "0": "\u2212" };
  const FATE = { keep: "kept", cut: "cut", drop: "dropped" };

  // Returns an element. Text is always put in as text, never as HTML.
  cxr.make = function (tag, attributes, ...children) {
    const made = document.createElement(tag);
    Object.entries(attributes || {}).forEach(function ([name, value]) {
      if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    });
    made.append(...children.filter(function (each) { return each !== null && each !== ""; }));
    return made;
  };
  const make = cxr.make;

  // Returns a text with the words of the search marked.
  function marked(text, terms) {
    const lower = text.toLowerCase();
    if (!terms.length || lower.length !== text.length) return [text];
    const parts = [];
    let from = 0;
    while (from < text.length) {
      const next = nearest(lower, terms, from);
      if (!next) break;
      parts.push(text.slice(from, next.at), make("mark", null, text.slice(next.at, next.end)));
      from = next.end;
    }
    return parts.concat(text.slice(from));
  }

  function nearest(lower, terms, from) {
    let best = null;
    terms.forEach(function (term) {
      const at = lower.indexOf(term, from);
      if (at >= 0 && (!best || at < best.at)) best = { at: at, end: at + term.length };
    });
    return best;
  }

  cxr.factsOf = function (row) {
    const person = [row.sex, row.age === null ? "" : row.age + " years"].filter(Boolean).join(", ");
    const view = row.projection && row.projection.toLowerCase() !== row.view
      ? row.view + " " + row.projection : row.view;
    return [row.split, view, person].filter(Boolean);
  };

  // Returns the labels of a sample: positive, then uncertain, then negative ones.
  cxr.labelsOf = function (row) {
    const names = Object.keys(row.labels).sort();
    const list = make("ul", { class: "labels", "aria-label": "Labels" });
    [1, -1, 0].forEach(function (value) {
      names.filter(function (name) { return row.labels[name] === value; }).forEach(function (name) {
        list.append(make("li", { class: "label v" + value },
          make("span", { "aria-hidden": "true" }, SIGN[value] + "\u00a0"),
          name, make("span", { class: "hidden" }, " " + cxr.SAID[value])));
      });
    });
    return names.length ? list : make("p", { class: "none" }, "No label");
  };

  // Returns the report of a sample. A sentence is a button: it shows the rule that decided.
  cxr.reportOf = function (index, row, terms) {
    const report = make("div", { class: "report" });
    if (!row.text) report.append(make("p", { class: "none" }, "Text not shown."));
    if (row.sentences.length) addSentences(report, index, row, terms);
    else if (row.caption) report.append(part("caption", marked(row.caption, terms)));
    Object.entries(row.sections).forEach(function ([name, text]) {
      report.append(part(name.replace("_", " "), marked(text, terms)));
    });
    return report;
  };

  function part(name, content) {
    return make("p", { class: "part" }, make("b", null, name), " ", ...content);
  }

  function addSentences(report, index, row, terms) {
    const panel = make("div", { class: "rule", id: "rule-" + (++cxr.made), hidden: true });
    let line = null;
    row.sentences.forEach(function (sentence, place) {
      if (!line || line.dataset.section !== sentence[0]) {
        line = part(sentence[0], []);
        line.dataset.section = sentence[0];
        report.append(line);
      }
      line.append(sentenceOf(sentence, place, panel, terms), " ");
    });
    report.append(panel);
    listen(report, panel, index, row);
  }
  cxr.made = 0;

  function sentenceOf(sentence, place, panel, terms) {
    const [, status, fate, text] = sentence;
    const shown = text ? marked(text, terms) : [status];
    return make("span", {
      class: "sentence s-" + status + " f-" + fate, role: "button", tabindex: place ? "-1" : "0",
      "aria-expanded": "false", "aria-controls": panel.id, "data-place": place,
    },
    make("span", { class: "hidden" }, FATE[fate] + ", " + status + ": "),
    fate === "drop" ? make("s", null, ...shown) : make("span", null, ...shown),
    fate === "cut" ? make("small", { class: "cut" }, " cut") : null);
  }

  function listen(report, panel, index, row) {
    function of(event) { return event.target.closest(".sentence"); }
    report.addEventListener("click", function (event) {
      if (of(event)) toggle(of(event), panel, index, row);
    });
    report.addEventListener("keydown", function (event) {
      const sentence = of(event);
      if (!sentence) return;
      if (event.key === "Enter" || event.key === " ") toggle(sentence, panel, index, row);
      else if (!move(report, sentence, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // The sentences of a report are one stop of the tab key; arrow keys go from one to the next.
  function move(report, sentence, key) {
    const all = Array.from(report.querySelectorAll(".sentence"));
    const at = all.indexOf(sentence);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[key];
    if (next === undefined) return false;
    const found = all[Math.max(0, Math.min(all.length - 1, next))];
    all.forEach(function (each) { each.tabIndex = each === found ? 0 : -1; });
    found.focus();
    return true;
  }

  async function toggle(sentence, panel, index, row) {
    const was = sentence.getAttribute("aria-expanded") === "true";
    sentence.closest(".report").querySelectorAll(".sentence").forEach(function (each) {
      each.setAttribute("aria-expanded", "false");
    });
    panel.hidden = was;
    if (was) return;
    sentence.closest(".part").after(panel);
    sentence.setAttribute("aria-expanded", "true");
    const place = Number(sentence.dataset.place);
    try {
      const details = await cxr.details(index, row);
      if (sentence.getAttribute("aria-expanded") === "true") {
        panel.replaceChildren(ruleOf(row.sentences[place], details[place]));
      }
    } catch (error) {
      panel.textContent = "The file " + error.message + " cannot be loaded.";
    }
  }

  function ruleOf(sentence, detail) {
    const [fate, why] = detail.reason.split(":");
    const list = make("dl", null);
    function line(name, ...content) {
      list.append(make("dt", null, name), make("dd", null, ...content));
    }
    line("status", sentence[1]);
    line("rule", make("code", null, detail.rule || "none"));
    line("filter", FATE[fate] + " (" + why.replace(/_/g, " ") + ")");
    if (detail.kept) line("what is kept", detail.kept);
    if (detail.edit !== "kept") line("without priors", detail.edit + (detail.prior_free ? ": " + detail.prior_free : ""));
    if (detail.mentions.length) {
      line("mentions", make("ul", null, ...detail.mentions.map(function (each) { return make("li", null, each); })));
    }
    return list;
  }
})();
