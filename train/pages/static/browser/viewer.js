// Shows one image enlarged: boxes, zoom, brightness and contrast.
"use strict";
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const make = cxr.make;
  const START = { zoom: 1, brightness: 1, contrast: 1, inverted: false, boxes: true };

  function svg(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    Object.entries(attributes).forEach(function ([name, value]) { made.setAttribute(name, value); });
    return made;
  }

  function bounded(value, low, high) { return Math.max(low, Math.min(high, value)); }

  // Returns a viewer: its elements, and functions that change what is shown.
  cxr.viewer = function () {
    const image = make("img", { draggable: "false" });
    const boxes = svg("svg", { class: "boxes", "aria-hidden": "true" });
    const frame = make("div", { class: "frame" }, image, boxes);
    const stage = make("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Image" }, frame);
    const list = make("ul", { class: "box-list" });
    const set = Object.assign({}, START);
    let row = null;

    function draw() {
      image.style.filter = "brightness(" + set.brightness + ") contrast(" + set.contrast + ")"
        + (set.inverted ? " invert(1)" : "");
      fit();
      boxes.classList.toggle("off", !set.boxes);
    }

    // The frame has the sides of the image, as large as the stage allows, times the zoom.
    function fit() {
      if (!row) return;
      const scale = Math.min(stage.clientWidth / row.width, stage.clientHeight / row.height) * set.zoom;
      frame.style.width = row.width * scale + "px";
      frame.style.height = row.height * scale + "px";
    }

    function addBox(box, place) {
      const at = { x: box.x + "%", y: box.y + "%", width: box.w + "%", height: box.h + "%" };
      const group = svg("g", { "data-box": place });
      group.append(svg("rect", Object.assign({ class: "halo" }, at)), svg("rect", Object.assign({ class: "edge" }, at)));
      const name = svg("text", { x: box.x + "%", y: box.y + "%", dx: 4, dy: 14 });
      name.textContent = String(place + 1);
      group.append(name);
      boxes.append(group);
      const tick = make("input", { type: "checkbox", checked: true });
      tick.addEventListener("change", function () { group.classList.toggle("off", !tick.checked); });
      const said = make("label", null, tick, " ", make("b", null, place + 1 + " " + box.label),
        box.phrase ? " \u201c" + box.phrase + "\u201d" : null,
        make("span", { class: "layer" }, " " + (box.layer || "collection")));
      const item = make("li", null, said);
      ["mouseenter", "focusin"].forEach(function (kind) {
        item.addEventListener(kind, function () { group.classList.add("strong"); });
      });
      ["mouseleave", "focusout"].forEach(function (kind) {
        item.addEventListener(kind, function () { group.classList.remove("strong"); });
      });
      list.append(item);
    }

    function show(next) {
      row = next;
      image.src = next.image;
      image.alt = next.view + " chest radiograph, " + next.title;
      boxes.replaceChildren();
      list.replaceChildren();
      next.boxes.forEach(addBox);
      Object.assign(set, { zoom: 1, brightness: 1, contrast: 1, inverted: false });
      draw();
    }

    // Zooms around the middle of what is visible.
    function zoom(factor) {
      const x = (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth;
      const y = (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight;
      set.zoom = bounded(set.zoom * factor, 1, 8);
      draw();
      stage.scrollLeft = x * stage.scrollWidth - stage.clientWidth / 2;
      stage.scrollTop = y * stage.scrollHeight - stage.clientHeight / 2;
    }

    const actions = {
      "+": function () { zoom(1.25); },
      "-": function () { zoom(0.8); },
      "]": function () { set.brightness = bounded(set.brightness + 0.1, 0.2, 3); draw(); },
      "[": function () { set.brightness = bounded(set.brightness - 0.1, 0.2, 3); draw(); },
      ".": function () { set.contrast = bounded(set.contrast + 0.1, 0.2, 4); draw(); },
      ",": function () { set.contrast = bounded(set.contrast - 0.1, 0.2, 4); draw(); },
      "i": function () { set.inverted = !set.inverted; draw(); },
      "b": function () { set.boxes = !set.boxes; draw(); },
      "0": function () { Object.assign(set, START); draw(); },
    };
    actions["="] = actions["+"]; // the same key without Shift

    drag(stage);
    addEventListener("resize", fit);
    return { stage: stage, list: list, show: show, actions: actions };
  };

  // An enlarged image is moved with the mouse or a finger.
  function drag(stage) {
    let last = null;
    stage.addEventListener("pointerdown", function (event) {
      if (event.pointerType !== "mouse" || event.button) return; // a finger scrolls by itself
      last = event;
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", function (event) {
      if (!last) return;
      stage.scrollLeft -= event.clientX - last.clientX;
      stage.scrollTop -= event.clientY - last.clientY;
      last = event;
    });
    ["pointerup", "pointercancel"].forEach(function (kind) {
      stage.addEventListener(kind, function () { last = null; });
    });
  }
})();
