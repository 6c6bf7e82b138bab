"""Draws the frontal view of a chest: its organs, vessels and bones, and the marks of its findings.

The result is a map of density: the attenuation of a ray, in display units. 0 is open
air, about 0.3 aerated lung, 0.75 soft tissue, 1 and more bone and metal over the heart. Vessels and
bones are here and not in modules of their own, because only this view draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import (
    SIGN,
    Chest,
    diaphragm,
    heart,
    lung,
    mediastinum,
)
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas, Points, curve, moved, oval
from cxr_vlp.pipelines.synthetic.phantom.frontal_findings import mark
from cxr_vlp.pipelines.synthetic.phantom.scene import Boxes, Mark, Scene, boxes_of
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream

Organs = tuple[np.ndarray, np.ndarray]  # masks of the heart and of the great vessels
_BEHIND = range(1, 11)  # posterior arcs of the ribs that cross the lungs
_BEFORE = range(1, 7)
_BREAK = 0.74  # where along a posterior arc a rib breaks: the lateral third
# Directions of the segmental arteries, in degrees from straight down, outwards and up.
_FAN = (12, 32, 52, 74, 98, 124, 150)
_DEPTH = 5


def frontal(
    study: Study, view: str, canvas: Canvas, body: Chest, seed: int
) -> tuple[np.ndarray, Boxes]:
    """Return (density, boxes): float (height, width), and boxes in pixels."""
    key = (seed, study.source, study.patient, study.number, view)
    x, y = canvas.grid()
    lungs = {side: canvas.fill(lung(body, side), soft=0.09) for side in (-1, 1)}
    scene = Scene(canvas, body, lungs, x, y, stream("disease", *key), noise_stream("disease", *key))
    by_name = {f.name: f for f in study.findings}
    drawn = [m for f in study.findings if (m := mark(f, scene)) is not None]
    bones = _skeleton(canvas, body, by_name.get("Fracture"))
    noise = noise_stream("lung", *key)
    organs = (canvas.fill(heart(body), soft=0.2), canvas.fill(*mediastinum(body), soft=0.2))
    air, lace = _airspaces(
        scene, drawn, _fine_texture(scene, noise), _vessels(scene, study, by_name, seed), organs
    )
    density = _tissue(scene, organs) - 0.50 * air - 0.10 * _airway(scene)
    density += 0.17 * lace + 0.115 * bones.rest
    # A rib is visible in front of air and hardly visible in front of dense organs.
    density += 0.115 * bones.ribs * (0.3 + 0.7 * np.clip(1.5 * air, 0, 1))
    density += _added(scene, drawn)
    boxes = boxes_of(drawn) + _heart_box(canvas, body, by_name) + _break_boxes(canvas, bones)
    return density, boxes


def _airspaces(
    scene: Scene, marks: list[Mark], texture: np.ndarray, vessels: np.ndarray, organs: Organs
) -> tuple[np.ndarray, np.ndarray]:
    """Return (air, vessels) after disease, with heart and great vessels in front."""
    canvas, body = scene.canvas, scene.body
    both = np.clip(scene.lungs[-1] + scene.lungs[1], 0, 1)
    air = canvas.bulge(both, 4.2) * both * body.lucent * (1 - texture)
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
            # Fluid lies below the free air. Other disease is in the lung and shrinks with it.
            held = m.fill if m.label == "Pleural Effusion" else m.fill * (1 - clear)
            air *= 1 - held
            lace *= 1 - 0.7 * held
    cover = (1 - 0.88 * organs[0]) * (1 - 0.93 * organs[1])
    return air * cover, lace * (0.35 + 0.65 * cover)


def _added(scene: Scene, marks: list[Mark]) -> np.ndarray:
    """Return the density that marks add. An effusion hides all of it except metal."""
    total, dry = np.zeros_like(scene.x), np.ones_like(scene.x)
    for m in marks:
        if m.label == "Pleural Effusion" and m.fill is not None:
            dry -= m.fill
    for m in marks:
        if m.add is not None:
            total += m.add if m.label == "Support Devices" else m.add * dry
    return total


def _fine_texture(scene: Scene, noise: np.random.Generator) -> np.ndarray:
    """Return structure that is too fine to be resolved: denser at the hila, grainy elsewhere."""
    body = scene.body
    out = (np.abs(scene.x - 0.7 * body.shift) - 3.4) / 3.6
    down = (scene.y - body.hilum - 1.8) / 5.0
    root = np.exp(-(np.maximum(out, 0) ** 2) - down**2)
    fine = scene.canvas.mottle(noise, 0.35) + 0.8 * scene.canvas.mottle(noise, 1.1)
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
    """Return the gas bubble of the stomach under the left diaphragm."""
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
    """Return vessels and hila, wider in edema; a person's branching stays the same."""
    edema = by_name.get("Edema")
    rng = stream("vessels", seed, study.source, study.patient)
    full = rng.uniform(0.9, 1.05) * (1.35 + 0.18 * edema.grade if edema else 1.0)
    full *= 0.72 if "Emphysema" in by_name else 1.0
    tree = _trees(scene.canvas, scene.body, rng, full=full, cephalic=0.9 if edema else 0.0)
    c, off = scene.body.hilum, 0.7 * scene.body.shift
    roots = [
        oval(-3.4 + off, c + 1.8, 1.05 * full, 2.0),
        oval(3.5 + off, c + 0.9, 1.15 * full, 1.7),
    ]
    return np.maximum(tree, 0.75 * scene.canvas.fill(*roots, soft=0.45))


def _heart_box(canvas: Canvas, body: Chest, by_name: dict[str, Finding]) -> Boxes:
    if "Cardiomegaly" not in by_name:
        return ()
    box = canvas.box(canvas.fill(heart(body)), 0.5)
    return (("Cardiomegaly", *box),) if box else ()


def _break_boxes(canvas: Canvas, bones: _Bones) -> Boxes:
    boxes = (canvas.box(canvas.fill(oval(x, y, 1.3, 1.2)), 0.5) for x, y in bones.breaks)
    return tuple(("Fracture", *box) for box in boxes if box)


@dataclass(frozen=True, slots=True)
class _Vessel:
    """One vessel before it branches: its start, direction, width and length, in cm and radians."""

    x: float
    y: float
    angle: float
    wide: float
    reach: float
    depth: int  # how many times it may still branch


def _trees(canvas: Canvas, body: Chest, rng: Random, *, full: float, cephalic: float) -> np.ndarray:
    """Return the vessels of both lungs as a mask 0..1: branching trees that start at the hila.

    `full` is a factor of the width of all vessels. `cephalic` (0..1) widens the upper ones, which
    in an upright healthy person are thinner than the lower ones.
    """
    lines: list[tuple[float, list[tuple[float, float]]]] = []
    for side in (-1, 1):
        x, y = side * 2.7 + 0.7 * body.shift, body.hilum + (1.6 if side < 0 else 0.9)
        for degrees in _FAN:
            down = (1 + cos(degrees * pi / 180)) / 2
            wide = (0.30 + 0.22 * down + 0.26 * cephalic * (1 - down)) * full
            reach = (body.dome(side) - body.hilum) * 0.30 if degrees < 60 else body.half * 0.25
            angle = (90 - degrees - rng.uniform(-6, 6)) * pi / 180
            root = _Vessel(x, y, angle, wide * rng.uniform(0.85, 1.1), reach, _DEPTH)
            _branch(lines, rng, side, root)
    layer = np.zeros((canvas.height, canvas.width), np.uint8)
    lines.sort(key=lambda line: line[0])
    canvas.traces(layer, np.array([p for _, p in lines]), np.array([w for w, _ in lines]))
    return canvas.blur(layer.astype(np.float32) / 255, 0.045)


def _branch(
    lines: list[tuple[float, list[tuple[float, float]]]], rng: Random, side: int, root: _Vessel
) -> None:
    """Add one vessel, bent a little, and its two children, thinner and turned apart."""
    x, y, angle = root.x, root.y, root.angle
    bend = rng.gauss(0, 0.13)
    line = [(x, y)]
    for _ in range(3):
        x += side * cos(angle) * root.reach / 3
        y += sin(angle) * root.reach / 3
        angle += bend
        line.append((x, y))
    lines.append((root.wide, line))
    if root.depth == 0 or root.wide < 0.04:
        return
    spread = rng.uniform(0.28, 0.55)
    for lean, share in ((spread * 0.5, 0.76), (-spread, 0.58)):
        turn = angle + (lean if rng.random() < 0.5 else -lean)
        reach = root.reach * rng.uniform(0.66, 0.86)
        _branch(lines, rng, side, _Vessel(x, y, turn, root.wide * share, reach, root.depth - 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Bones:
    """Masks of the ribs and of all other bone, and the places of fractures (x, y in cm)."""

    ribs: np.ndarray
    rest: np.ndarray
    breaks: tuple[tuple[float, float], ...]


def _skeleton(canvas: Canvas, body: Chest, fracture: Finding | None) -> _Bones:
    """Return ribs, clavicles, scapulae, humeral heads and spine, broken where `fracture` is."""
    behind: list[Points] = []
    breaks: list[tuple[float, float]] = []
    for side in (-1, 1):
        for number in _BEHIND:
            arc = _rib(body, side, number)
            if fracture and _broken(fracture, side, number):
                parts, place = _snap(arc, 0.75 + 0.15 * fracture.grade)
                behind += parts
                breaks.append(place)
            else:
                behind.append(arc)
    clavicles, more = _clavicles(body, fracture)
    ribs = 0.85 * canvas.stroke(behind, 0.82, soft=0.06, hollow=0.45)
    ribs += 0.5 * _before(canvas, body)
    rest = 0.95 * canvas.stroke(clavicles, 1.05, soft=0.06, hollow=0.4)
    rest += 0.9 * _shoulders(canvas, body)
    rest += 0.8 * _spine(canvas, body)
    breaks += more
    if breaks and fracture is not None:
        rest += _callus(canvas, breaks, fracture)
    return _Bones(ribs, rest, tuple(breaks))


def _rib(body: Chest, side: int, number: int) -> Points:
    """Return the posterior arc of a rib, from the spine outwards and down."""
    pitch = (body.long + 3.0) / 10.6
    y = -1.4 + pitch * number
    h = body.half * min(1.0, 0.52 + 0.13 * number)
    drop = 1.4 + 0.42 * number
    knots = ((0.5, y + 0.9), (1.9, y + 0.4), (0.36 * h, y - 0.1), (0.62 * h, y + 0.12 * drop),
             (0.86 * h, y + 0.5 * drop), (0.99 * h, y + 1.15 * drop))  # fmt: skip
    arc = curve(knots, steps=12)
    arc[:, 0] = arc[:, 0] * side * (1 + 0.05 * side * body.turn)
    return arc


def _before(canvas: Canvas, body: Chest) -> np.ndarray:
    """Return the anterior arcs: wider, fainter, fading into cartilage before the sternum."""
    lines = []
    for side in (-1, 1):
        for number in _BEFORE:
            start = _rib(body, side, number + 1)[-1] * (side, 1)
            x, y = start
            fall = 1.8 + 0.5 * number
            knots = ((x, y - 0.2), (0.9 * x, y + 0.55 * fall), (0.66 * x, y + fall),
                     (0.44 * x, y + 1.05 * fall))  # fmt: skip
            lines.append(curve(knots) * (side, 1))
    return canvas.stroke(lines, 0.95, soft=0.09, hollow=0.35)


def _clavicles(
    body: Chest, fracture: Finding | None
) -> tuple[list[Points], list[tuple[float, float]]]:
    lines: list[Points] = []
    breaks: list[tuple[float, float]] = []
    up = -1.0 if body.portable else 0.0
    for side in (-1, 1):
        h = body.half
        knots = ((1.5 + 0.5 * side * body.turn, 3.6 + up), (0.34 * h, 2.3 + up),
                 (0.62 * h, 1.4 + up),
                 (0.9 * h, 0.2 + up), (1.13 * h, -1.2 + up), (1.28 * h, -1.3 + up))  # fmt: skip
        line = curve(knots, steps=8) * (side, 1)
        if fracture and fracture.zone == "clavicle" and SIGN[fracture.side] == side:
            parts, place = _snap(line, 1.1 + 0.6 * fracture.grade, at=0.5)
            lines += parts
            breaks.append(place)
        else:
            lines.append(line)
    return lines, breaks


def _broken(fracture: Finding, side: int, number: int) -> bool:
    hit = fracture.number <= number < fracture.number + fracture.broken
    return fracture.zone == "ribs" and SIGN[fracture.side] == side and hit


def _snap(
    line: Points, step: float, at: float = _BREAK
) -> tuple[list[Points], tuple[float, float]]:
    """Return the two fragments of a broken bone, overriding and `step` cm apart, and the place."""
    cut = int(at * len(line))
    outer = moved(line[cut - 1 :], 0.0, step)
    x, y = moved(line[cut], 0.0, step / 2)
    return [line[: cut + 1], outer], (float(x), float(y))


def _callus(canvas: Canvas, breaks: list[tuple[float, float]], fracture: Finding) -> np.ndarray:
    """Return the density around fractures: blood and callus, more of it in an old fracture."""
    strong = 1.6 if fracture.assertion == "uncertain" else 2.0 + 0.25 * fracture.grade
    strong += 0.3 * (fracture.age_of == "old")
    wide = 1.15 + 0.12 * fracture.grade
    spots = [oval(x, y, wide, 0.7 * wide, 0.6) for x, y in breaks]
    return strong * canvas.fill(*spots, soft=0.3)


def _shoulders(canvas: Canvas, body: Chest) -> np.ndarray:
    """Return humeral heads and scapulae. In a PA view the scapulae lie outside the lungs."""
    h = body.half
    heads, blades = [], []
    for side in (-1, 1):
        x = side * (h + 4.6)
        heads.append(oval(x, 1.6, 2.3, 2.4))
        heads.append(curve([(x + side * 0.2, 3), (x + side * 1.0, 8), (x + side * 1.8, 20)]))
        inner = 0.80 * h if body.portable else 1.06 * h
        knots = (
            (h + 2.6, 0.2),
            (inner + 0.6, 2.2),
            (inner, 6.0),
            (inner + 1.4, 11.5),
            (h + 2.4, 6.5),
        )
        blades.append(curve(knots, closed=True) * (side, 1))
    round_heads = canvas.bulge(canvas.fill(heads[0], heads[2]), 1.8)
    shafts = canvas.stroke([heads[1], heads[3]], 2.2, soft=0.15, hollow=0.3)
    sheet = 0.22 * canvas.fill(*blades, soft=0.15)
    rims = 0.35 * canvas.stroke([np.vstack([b, b[:1]]) for b in blades], 0.45, soft=0.12)
    return np.maximum(round_heads, shafts) * 0.9 + sheet + rims


def _spine(canvas: Canvas, body: Chest) -> np.ndarray:
    """Return vertebral bodies between their discs, with pedicles and spinous processes."""
    pitch = (body.long + 4) / 10.5
    x = 0.2 * body.turn
    bodies, pedicles, spines = [], [], []
    for i in range(-3, 17):
        y, w = -2.0 + pitch * i, 1.55 + 0.035 * i
        knots = ((x - w, y - 0.36 * pitch), (x, y - 0.33 * pitch), (x + w, y - 0.36 * pitch),
                 (x + 0.9 * w, y), (x + w, y + 0.36 * pitch), (x, y + 0.33 * pitch),
                 (x - w, y + 0.36 * pitch), (x - 0.9 * w, y))  # fmt: skip
        bodies.append(curve(knots, closed=True, steps=4))
        pedicles += [
            oval(x + side * 0.62 * w + 0.6 * body.turn, y - 0.1 * pitch, 0.32, 0.45)
            for side in (-1, 1)
        ]
        spines.append(oval(x + 0.8 * body.turn, y + 0.2 * pitch, 0.22, 0.5))
    mask = 0.30 * canvas.fill(*bodies, soft=0.16)
    return mask + 0.2 * canvas.fill(*pedicles, *spines, soft=0.09)
