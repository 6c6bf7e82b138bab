"""The frontal film: a chest and its findings go in, a map of density and boxes come out.

Density is what a ray meets on its way, in display units: 0 open air, about 0.3 aerated lung, 0.75
soft tissue, 1 and more bone and metal over the heart.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest, diaphragm, heart, lung, mediastinum
from cxr_vlp.pipelines.synthetic.phantom.bones import Bones, skeleton
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas, curve, moved, oval
from cxr_vlp.pipelines.synthetic.phantom.frontal_devices import device
from cxr_vlp.pipelines.synthetic.phantom.frontal_findings import mark
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene
from cxr_vlp.pipelines.synthetic.phantom.vessels import trees
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream

Organs = tuple[np.ndarray, np.ndarray]  # masks of the heart and of the great vessels
Boxes = tuple[tuple[str, float, float, float, float], ...]


def frontal(
    study: Study, view: str, canvas: Canvas, body: Chest, seed: int
) -> tuple[np.ndarray, Boxes]:
    """Return (density, boxes) of a frontal film."""
    key = (seed, study.source, study.patient, study.number, view)
    x, y = canvas.grid()
    lungs = {side: canvas.fill(lung(body, side), soft=0.09) for side in (-1, 1)}
    scene = Scene(canvas, body, lungs, x, y, stream("disease", *key), noise_stream("disease", *key))
    by_name = {f.name: f for f in study.findings}
    marks = [
        device(f, scene) if f.name == "Support Devices" else mark(f, scene) for f in study.findings
    ]
    drawn = [m for m in marks if m is not None]
    bones = skeleton(canvas, body, by_name.get("Fracture"))
    grain = noise_stream("lung", *key)
    organs = (canvas.fill(heart(body), soft=0.2), canvas.fill(*mediastinum(body), soft=0.2))
    air, lace = _airspaces(
        scene, drawn, _hush(scene, grain), _vessels(scene, study, by_name, seed), organs
    )
    density = _tissue(scene, organs) - 0.50 * air - 0.10 * _airway(scene)
    density += 0.17 * lace + 0.115 * bones.rest
    # Against dense organs a rib is hardly seen; against air it is.
    density += 0.115 * bones.ribs * (0.3 + 0.7 * np.clip(1.5 * air, 0, 1))
    density += _added(scene, drawn)
    boxes = _boxes(drawn) + _heart_box(canvas, body, by_name) + _break_boxes(canvas, bones)
    return density, boxes


def _airspaces(
    scene: Scene, marks: list[Mark], hush: np.ndarray, vessels: np.ndarray, organs: Organs
) -> tuple[np.ndarray, np.ndarray]:
    """Return (air, vessels) as disease leaves them, with the heart in front."""
    canvas, body = scene.canvas, scene.body
    both = np.clip(scene.lungs[-1] + scene.lungs[1], 0, 1)
    air = canvas.bulge(both, 4.2) * both * body.lucent * (1 - hush)
    air *= 0.90 + 0.10 * np.clip(1.2 - scene.y / 20, 0, 1)
    lace = vessels * both * np.clip(air * 1.6, 0, 1)
    clear = np.zeros_like(air)
    for m in marks:
        if m.clear is not None:
            clear = np.maximum(clear, m.clear)
    lace *= 1 - clear
    air += clear * (np.minimum(air * 1.25 + 0.06, 1.25) - air)
    for m in marks:
        if m.fill is not None:
            # Fluid sinks below the free air; what else is wrong with a lung shrinks with it.
            held = m.fill if m.label == "Pleural Effusion" else m.fill * (1 - clear)
            air *= 1 - held
            lace *= 1 - 0.7 * held
    cover = (1 - 0.88 * organs[0]) * (1 - 0.93 * organs[1])
    return air * cover, lace * (0.35 + 0.65 * cover)


def _added(scene: Scene, marks: list[Mark]) -> np.ndarray:
    """Return metal, edges and septa; all but metal drown in an effusion."""
    total, dry = np.zeros_like(scene.x), np.ones_like(scene.x)
    for m in marks:
        if m.label == "Pleural Effusion" and m.fill is not None:
            dry -= m.fill
    for m in marks:
        if m.add is not None:
            total += m.add if m.label == "Support Devices" else m.add * dry
    return total


def _hush(scene: Scene, grain: np.random.Generator) -> np.ndarray:
    """Return the small things a film does not resolve: denser round the hila, grained all over."""
    body = scene.body
    out = (np.abs(scene.x - 0.7 * body.shift) - 3.4) / 3.6
    down = (scene.y - body.hilum - 1.8) / 5.0
    root = np.exp(-(np.maximum(out, 0) ** 2) - down**2)
    fine = scene.canvas.mottle(grain, 0.35) + 0.8 * scene.canvas.mottle(grain, 1.1)
    return np.clip(0.17 * root + 0.045 * fine, -0.2, 0.5)


def _tissue(scene: Scene, organs: Organs) -> np.ndarray:
    """Return chest wall, neck, arms, breasts and belly: thick in the middle, nothing outside."""
    canvas, body, h = scene.canvas, scene.body, scene.body.half
    w = h + body.fat
    torso = curve(
        [(-4.6, -12), (-4.8, -5.5), (-8.0, -3.4), (-h - 4, -1.8), (-h - 8, 3), (-h - 9.5, 14),
         (-h - 5.4, 17), (-h - 3.6, 8.0), (-w - 0.6, 11), (-w - 0.2, 18), (-w, 26), (-w - 1, 45),
         (w + 1, 45), (w, 26), (w + 0.2, 18), (w + 0.6, 11), (h + 3.6, 8.0), (h + 5.4, 17),
         (h + 9.5, 14), (h + 8, 3), (h + 4, -1.8), (8.0, -3.4), (4.8, -5.5), (4.6, -12)]
    )  # fmt: skip
    mask = canvas.fill(torso, soft=0.12)
    tissue = 0.30 * mask + 0.42 * canvas.bulge(mask, 5.0) + 0.012 * body.fat
    bowel = canvas.blur((scene.y > body.base + 1.0).astype(np.float32), 2.2)
    tissue += 0.11 * bowel * mask
    if body.breast > 0.2:
        size = 4.6 + 1.8 * body.breast
        pair = [oval(s * 0.60 * h, body.dome(s) - 2.6, size, size * 0.95) for s in (-1, 1)]
        tissue += 0.10 * body.breast * canvas.bulge(canvas.fill(*pair, soft=0.2), 4.0)
    tissue += 0.04 * organs[0] + 0.05 * organs[1]
    tissue -= _stomach(scene)
    return tissue


def _stomach(scene: Scene) -> np.ndarray:
    """Return the air under the left diaphragm, flat below where the fluid stands."""
    body = scene.body
    x, y = 0.5 * body.half, body.dome(1) + 2.6
    r = stream("stomach", round(body.half * 1e6)).uniform(1.2, 2.6)
    bubble = scene.canvas.fill(oval(x, y, 1.5 * r, 0.9 * r, -0.2), soft=0.35)
    under = scene.canvas.fill(_under(body), soft=0.1)
    return 0.11 * bubble * under


def _under(body: Chest) -> np.ndarray:
    dome = moved(diaphragm(body, 1), 0.0, 0.5)
    return np.vstack([dome, [(0, 40), (body.half + 2, 40)]])


def _airway(scene: Scene) -> np.ndarray:
    """Return trachea and main bronchi, the right one steeper and wider."""
    body, canvas = scene.body, scene.canvas
    c = body.hilum
    off = 0.7 * body.shift
    tube = curve([(0.1, -10), (0.25, 0), (0.35 + 0.5 * off, c - 3), (off, c)])
    right = curve([(off, c - 0.3), (off - 1.4, c + 1.2), (off - 3.2, c + 3.4)])
    left = curve([(off, c - 0.3), (off + 2.0, c + 1.0), (off + 4.4, c + 2.2)])
    windpipe = canvas.stroke([tube], 1.75, soft=0.12)
    return np.maximum(windpipe, 0.75 * canvas.stroke([right, left], 1.15, soft=0.14))


def _vessels(scene: Scene, study: Study, by_name: dict[str, Finding], seed: int) -> np.ndarray:
    """Return the vessels and hila: the person's own trees, fuller in congestion."""
    edema = by_name.get("Edema")
    dice = stream("vessels", seed, study.source, study.patient)
    full = dice.uniform(0.9, 1.05) * (1.35 + 0.18 * edema.grade if edema else 1.0)
    full *= 0.72 if "Emphysema" in by_name else 1.0
    tree = trees(scene.canvas, scene.body, dice, full=full, cephalic=0.9 if edema else 0.0)
    c, off = scene.body.hilum, 0.7 * scene.body.shift
    roots = [
        oval(-3.4 + off, c + 1.8, 1.05 * full, 2.0),
        oval(3.5 + off, c + 0.9, 1.15 * full, 1.7),
    ]
    return np.maximum(tree, 0.75 * scene.canvas.fill(*roots, soft=0.45))


def _boxes(marks: Iterable[Mark]) -> Boxes:
    return tuple((m.label, *box) for m in marks for box in m.boxes if box is not None)


def _heart_box(canvas: Canvas, body: Chest, by_name: dict[str, Finding]) -> Boxes:
    if "Cardiomegaly" not in by_name:
        return ()
    box = canvas.box(canvas.fill(heart(body)), 0.5)
    return (("Cardiomegaly", *box),) if box else ()


def _break_boxes(canvas: Canvas, bones: Bones) -> Boxes:
    boxes = (canvas.box(canvas.fill(oval(x, y, 1.3, 1.2)), 0.5) for x, y in bones.breaks)
    return tuple(("Fracture", *box) for box in boxes if box)
