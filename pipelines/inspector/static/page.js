"use strict";

// Filters: a changed choice shows its result at once, and empty fields stay out of the address.
const form = document.getElementById("filters");
if (form) {
  form.addEventListener("formdata", (event) => {
    for (const name of [...new Set(event.formData.keys())]) {
      const values = event.formData.getAll(name).filter((value) => value.trim() !== "");
      event.formData.delete(name);
      if (name === "in" && !form.elements.q.value.trim()) continue;
      values.forEach((value) => event.formData.append(name, value));
    }
  });
  form.addEventListener("change", (event) => {
    const typed = event.target.matches("textarea, input[type=search], input[type=number]");
    const idle = event.target.name === "in" && !form.elements.q.value.trim();
    if (!typed && !idle) form.requestSubmit();
  });
  // the list of filters stays where it was when the next page is shown
  const list = form.closest("aside");
  list.scrollTop = Number(sessionStorage.getItem("filters") || 0);
  const toggle = document.getElementById("show-filters");
  toggle.checked = sessionStorage.getItem("open") === "yes";
  form.addEventListener("submit", () => {
    sessionStorage.setItem("filters", String(list.scrollTop));
    sessionStorage.setItem("open", toggle.checked ? "yes" : "no");
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const viewer = document.querySelector("[data-viewer]");
const view = viewer ? look(viewer) : null;

// The image: zoom, move, invert, level and contrast. Only the shown picture changes.
function look(root) {
  const stage = root.querySelector(".stage"), plate = root.querySelector(".plate");
  const image = root.querySelector(".plate img"), boxes = root.querySelector(".boxes");
  const control = (name) => root.querySelector(`[data-do=${name}]`);
  const names = root.querySelectorAll(".boxes text");
  for (const each of names) each.dataset.size = each.getAttribute("font-size");
  const points = new Map();
  let scale = 1, x = 0, y = 0, inverted = false;

  function draw() {
    const area = stage.getBoundingClientRect();
    x = Math.min(0, Math.max(area.width * (1 - scale), x));
    y = Math.min(0, Math.max(area.height * (1 - scale), y));
    for (const each of names) each.setAttribute("font-size", each.dataset.size / scale);
    if (boxes) boxes.style.strokeWidth = 2 / scale;  // edges and names stay as thin as without zoom
    plate.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    stage.classList.toggle("zoomed", scale > 1);
    image.style.imageRendering = scale > 4 ? "pixelated" : "auto";
    const level = control("level").value, contrast = control("window").value;
    image.style.filter = `${inverted ? "invert(1) " : ""}brightness(${level}%) contrast(${contrast}%)`;
  }
  function zoom(by, atX, atY) {
    const next = Math.min(16, Math.max(1, scale * by));
    x = atX - (atX - x) * next / scale;
    y = atY - (atY - y) * next / scale;
    scale = next;
    draw();
  }
  function zoomMiddle(by) {
    const area = stage.getBoundingClientRect();
    zoom(by, area.width / 2, area.height / 2);
  }
  function reset() {
    scale = 1; x = 0; y = 0; inverted = false;
    control("level").value = control("window").value = 100;
    control("invert").setAttribute("aria-pressed", "false");
    draw();
  }
  function invert() {
    inverted = !inverted;
    control("invert").setAttribute("aria-pressed", String(inverted));
    draw();
  }
  function toggleBoxes() {
    if (!boxes) return;
    const hidden = boxes.classList.toggle("off");
    control("boxes").setAttribute("aria-pressed", String(!hidden));
  }
  function local(event) {
    const area = stage.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  }
  const spread = () => {
    const [a, b] = [...points.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };

  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && scale === 1 && event.deltaY > 0) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...local(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    points.set(event.pointerId, local(event));
    if (scale > 1 || points.size > 1) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = points.get(event.pointerId);
    if (!before) return;
    const now = local(event);
    const apart = points.size === 2 ? spread() : 0;
    points.set(event.pointerId, now);
    if (apart) {
      const [a, b] = [...points.values()];
      zoom(spread() / apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    } else if (scale > 1) {
      x += now[0] - before[0];
      y += now[1] - before[1];
      draw();
    }
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    stage.addEventListener(end, (event) => points.delete(event.pointerId));
  }
  stage.addEventListener("dblclick", (event) => (scale > 1 ? reset() : zoom(2.5, ...local(event))));
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (!step || scale === 1) return;
    x += step[0]; y += step[1];
    event.preventDefault();
    event.stopPropagation();
    draw();
  });
  control("in").addEventListener("click", () => zoomMiddle(1.4));
  control("out").addEventListener("click", () => zoomMiddle(1 / 1.4));
  control("reset").addEventListener("click", reset);
  control("invert").addEventListener("click", invert);
  if (boxes) control("boxes").addEventListener("click", toggleBoxes);
  for (const name of ["level", "window"]) control(name).addEventListener("input", draw);
  return { "+": () => zoomMiddle(1.4), "=": () => zoomMiddle(1.4), "-": () => zoomMiddle(1 / 1.4), 0: reset, i: invert, b: toggleBoxes };
}

const follow = (rel) => document.querySelector(`a[rel=${rel}]`)?.click();
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  if (event.key === "ArrowLeft") follow("prev");
  else if (event.key === "ArrowRight") follow("next");
  else if (event.key === "u") follow("up");
  else if (event.key === "/" && form) { event.preventDefault(); form.elements.q.focus(); }
  else if (view && Object.hasOwn(view, event.key)) view[event.key]();
});
