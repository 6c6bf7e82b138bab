// Loads the samples. Each data file calls cxr.receive; a page from a folder may load scripts, but
// may not fetch.
"use strict";
window.cxr = {};

(function () {
  const waiting = new Map();

  function place(name, number) {
    return name + " " + number;
  }

  // What data files call: the value number `number` of the list `name`.
  cxr.receive = function (name, number, value) {
    const found = waiting.get(place(name, number));
    if (found) found.resolve(value);
  };

  // Returns a promise of what a data file holds. A file is loaded once.
  cxr.load = function (file, name, number) {
    const key = place(name, number);
    if (waiting.has(key)) return waiting.get(key).promise;
    const entry = {};
    entry.promise = new Promise(function (resolve, reject) {
      entry.resolve = resolve;
      const script = document.createElement("script");
      script.src = file;
      script.addEventListener("error", function () {
        waiting.delete(key); // another try may succeed
        script.remove();
        reject(new Error(file));
      });
      script.addEventListener("load", function () { script.remove(); });
      document.head.append(script);
    });
    waiting.set(key, entry);
    return entry.promise;
  };

  cxr.samples = [];
  cxr.complete = false;

  // Loads all samples, file by file; calls `seen` after each, so that the list can begin at once.
  cxr.loadAll = async function (index, seen) {
    const sets = new Map(index.sets.map(function (set) { return [set.name, set]; }));
    for (let number = 0; number < index.chunks.length; number++) {
      const chunk = index.chunks[number];
      const rows = await cxr.load(chunk.rows, "rows", number);
      rows.forEach(function (row, at) {
        row.set = chunk.set;
        row.title = sets.get(chunk.set).title;
        row.text = sets.get(chunk.set).text;
        row.chunk = number;
        row.at = at;
        row.words = cxr.wordsOf(row);
        cxr.samples.push(row);
      });
      cxr.complete = number + 1 === index.chunks.length;
      seen();
    }
  };

  // Returns a promise of the details of a sample's sentences.
  cxr.details = async function (index, row) {
    const all = await cxr.load(index.chunks[row.chunk].details, "details", row.chunk);
    return all[row.at];
  };
})();
