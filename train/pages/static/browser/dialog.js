// The dialog of one sample: its image enlarged, its labels and its report, previous and next.
"use strict";
(function () {
  const make = cxr.make;
  const BUTTONS = [
    ["+", "Zoom in"], ["-", "Zoom out"], ["]", "Brighter"], ["[", "Darker"],
    [".", "More contrast"], [",", "Less contrast"], ["i", "Invert"], ["b", "Boxes"], ["0", "Reset"],
  ];

  // Returns the dialog. `go(step)` is called for previous (-1) and next (1), `closed` at its end.
  cxr.dialog = function (index, go, closed) {
    const viewer = cxr.viewer();
    let shown = "";
    const title = make("h2", { id: "dialog-title", tabindex: "-1" });
    const place = make("p", { class: "place", "aria-live": "polite" });
    const side = make("div", { class: "beside" });
    const previous = button("\u2190 Previous", "ArrowLeft", function () { go(-1); });
    const next = button("Next \u2192", "ArrowRight", function () { go(1); });
    const close = button("Close", "Escape", function () { dialog.close(); });
    const tools = make("div", { class: "tools", role: "toolbar", "aria-label": "Image" },
      ...BUTTONS.map(function ([key, name]) { return button(name, key, viewer.actions[key]); }));
    const dialog = make("dialog", { id: "sample", "aria-labelledby": "dialog-title" },
      make("div", { class: "head" }, title, place, make("div", { class: "steps" }, previous, next, close)),
      make("div", { class: "body" },
        make("div", { class: "picture" }, viewer.stage, tools), side));
    document.body.append(dialog);

    dialog.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "ArrowLeft" && !scrolled()) go(-1);
      else if (event.key === "ArrowRight" && !scrolled()) go(1);
      else if (viewer.actions[event.key]) viewer.actions[event.key]();
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("close", closed);

    // On an enlarged image the arrow keys move the image.
    function scrolled() {
      return document.activeElement === viewer.stage && viewer.stage.scrollWidth > viewer.stage.clientWidth;
    }

    // Called again for the same sample when more results are known: then only the place changes.
    function show(row, at, count, terms) {
      place.textContent = count ? (at + 1).toLocaleString("en") + " of " + count.toLocaleString("en") : "";
      previous.disabled = at <= 0;
      next.disabled = !count || at + 1 >= count;
      if (dialog.open && shown === row.key) return;
      shown = row.key;
      title.textContent = row.title;
      if (!dialog.open) dialog.showModal();
      viewer.show(row);
      side.replaceChildren(
        make("p", { class: "facts" }, cxr.factsOf(row).join(" \u00b7 ")),
        cxr.labelsOf(row),
        ...(row.boxes.length ? [make("h3", null, "Boxes"), viewer.list] : []),
        make("h3", null, row.sentences.length ? "Report" : "Text"), cxr.reportOf(index, row, terms),
        make("p", { class: "fine-print" }, "key ", make("code", null, row.key)),
        make("p", { class: "fine-print" }, "Keyboard: \u2190 \u2192 previous and next, + \u2212 zoom, [ ] brightness, , . contrast, i invert, b boxes, 0 reset."));
      side.scrollTop = 0;
      if (document.activeElement === document.body || document.activeElement.disabled) title.focus();
    }
    return { element: dialog, show: show };
  };

  function button(name, key, action) {
    const shown = { ArrowLeft: "Left arrow", ArrowRight: "Right arrow" }[key] || key;
    const made = make("button", { type: "button", title: name + " (" + shown + ")", "aria-keyshortcuts": key }, name);
    made.addEventListener("click", action);
    return made;
  }
})();
