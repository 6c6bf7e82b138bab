// The state of the page, how it stands in the address, and which samples it selects.
"use strict";
(function () {
  const SINGLE = ["q", "status", "set", "split", "view", "boxes", "page", "sample"];
  const SAID = { "1": "positive", "0": "negative", "-1": "uncertain", "none": "not mentioned" };
  cxr.SAID = SAID;

  // Returns the state that an address names, without its "#". Unknown keys are left out.
  cxr.parse = function (hash) {
    const given = new URLSearchParams(hash);
    const state = { labels: given.getAll("label").filter(function (each) { return valueOf(each) in SAID; }) };
    SINGLE.forEach(function (name) { state[name] = given.get(name) || ""; });
    const page = Number(state.page);
    state.page = Number.isInteger(page) && page > 1 ? page : 1;
    return state;
  };

  // Returns the address of a state.
  cxr.format = function (state) {
    const given = new URLSearchParams();
    state.labels.forEach(function (each) { given.append("label", each); });
    SINGLE.forEach(function (name) {
      const value = name === "page" && state.page === 1 ? "" : state[name];
      if (value) given.set(name, value);
    });
    return given.toString();
  };

  // "Edema:1" is the label Edema with the value 1; a label's name may hold a colon.
  function nameOf(condition) { return condition.slice(0, condition.lastIndexOf(":")); }
  function valueOf(condition) { return condition.slice(condition.lastIndexOf(":") + 1); }

  cxr.said = function (condition) {
    return nameOf(condition) + ": " + SAID[valueOf(condition)];
  };

  // Returns the words of a search in small letters; words between quotes stay together.
  cxr.terms = function (query) {
    const found = query.toLowerCase().match(/"[^"]*"?|[^\s"]+/g) || [];
    return found.map(function (each) { return each.replace(/"/g, "").replace(/\s+/g, " ").trim(); })
      .filter(Boolean);
  };

  // Returns all text of a sample in small letters.
  cxr.wordsOf = function (row) {
    const texts = row.sentences.map(function (each) { return each[3]; });
    return texts.concat(Object.values(row.sections), row.caption).join("\n")
      .toLowerCase().replace(/[^\S\n]+/g, " ");
  };

  function hasLabel(row, condition) {
    const value = row.labels[nameOf(condition)];
    return (value === undefined ? "none" : String(value)) === valueOf(condition);
  }

  function hasBoxes(row, layer) {
    if (layer === "any") return row.boxes.length > 0;
    return row.boxes.some(function (box) { return (box.layer || "collection") === layer; });
  }

  // Returns the samples that a state selects, in the order of the files.
  cxr.select = function (state) {
    const terms = cxr.terms(state.q);
    return cxr.samples.filter(function (row) {
      return (!state.set || row.set === state.set)
        && (!state.split || row.split === state.split)
        && (!state.view || row.view === state.view)
        && (!state.boxes || hasBoxes(row, state.boxes))
        && (!state.status || row.sentences.some(function (each) { return each[1] === state.status; }))
        && state.labels.every(function (condition) { return hasLabel(row, condition); })
        && terms.every(function (term) { return row.words.includes(term); });
    });
  };
})();
