"""Draws the lateral view of a chest: its organs, and the findings that are visible from the side.

The patient looks to the left of the image, with the left side against the detector. x runs from the
middle of the chest backwards, y as in the frontal view. Both lungs overlap, so a finding's side is
not visible here, only its height and depth. A pneumothorax or a rib fracture is seldom seen from
the side and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi, sin
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN, Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas, Points, curve, oval
from cxr_vlp.pipelines.synthetic.phantom.scene import Boxes, Mark, Scene, boxes_of, sides
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream

# Depth of each zone as a fraction of the half depth: the middle lobe lies in front, bases behind.
_DEPTH = {"upper": -0.05, "mid": -0.45, "lower": 0.55}


def lateral(
    study: Study, view: str, canvas: Canvas, body: Chest, seed: int
) -> tuple[np.ndarray, Boxes]:
    """Return (density, boxes): float (height, width), and boxes in pixels."""
    key = (seed, study.source, study.patient, study.number, view)
    x, y = canvas.grid()
    lungs = {side: canvas.fill(_outline(body, side), soft=0.1) for side in (-1, 1)}
    scene = Scene(canvas, body, lungs, x, y, stream("side", *key), noise_stream("side", *key))
    drawn = [m for f in study.findings if (m := _mark(f, scene)) is not None]
    wet = any(f.name == "Edema" for f in study.findings)
    trees = _vessels(scene, stream("vessels", *key), 1.4 if wet else 1.0)
    density = _density(scene, drawn, trees, noise_stream("lung", *key))
    return density, boxes_of(drawn)


def _outline(body: Chest, side: int) -> Points:
    """Return one lung from the side. The right dome is higher and reaches the sternum."""
    d, low, deep = 0.72 * body.half, body.dome(side), body.recess + 0.8
    front = curve([(-0.1 * d, 0.2), (-0.55 * d, 2.2), (-0.86 * d, 8.0), (-0.98 * d, 14.0),
                   (-1.0 * d, low - 1.0), (-0.93 * d, low + 0.9)])  # fmt: skip
    floor = curve([(-0.93 * d, low + 0.9), (-0.55 * d, low - 0.3), (-0.05 * d, low),
                   (0.5 * d, low + 1.6), (0.86 * d, low + deep - 0.8),
                   (0.99 * d, low + deep)])  # fmt: skip
    back = curve([(0.99 * d, low + deep), (1.16 * d, low - 3), (1.2 * d, 12), (1.02 * d, 5.5),
                  (0.62 * d, 1.4), (0.25 * d, -0.3), (-0.1 * d, 0.2)])  # fmt: skip
    return np.vstack([front, floor[1:], back[1:-1]])


def _density(
    scene: Scene, marks: list[Mark], vessels: np.ndarray, noise: np.random.Generator
) -> np.ndarray:
    """Return tissue minus air plus bone. Marks change the air first."""
    canvas, body = scene.canvas, scene.body
    one, other = scene.lungs[-1], scene.lungs[1]
    air = canvas.bulge(np.minimum(one + other, 1), 4.5) * (0.5 * one + 0.5 * other) * body.lucent
    fine = canvas.mottle(noise, 0.4) + 0.7 * canvas.mottle(noise, 1.2)
    air = air * (1 - np.clip(0.05 * fine + 0.30 * _hila(scene), -0.2, 0.6))
    air *= 1 - 0.72 * canvas.fill(_heart(body), soft=0.75)
    air *= 1 - 0.26 * canvas.fill(_arch(body), soft=0.5)
    lace = vessels * np.clip(1.6 * air, 0, 1)
    for m in marks:
        if m.fill is not None:
            air *= 1 - m.fill
            lace *= 1 - 0.7 * m.fill
    density = _tissue(scene) - 0.50 * air + 0.10 * lace + _bones(scene)
    density -= 0.09 * canvas.stroke([_windpipe(body)], 1.6, soft=0.14)
    for m in marks:
        if m.add is not None:
            density += m.add
    return density


def _tissue(scene: Scene) -> np.ndarray:
    """Return trunk and raised arms; the belly below is denser."""
    body, canvas = scene.body, scene.canvas
    d, fat = 0.72 * body.half, body.fat
    chest = 1.6 + 2.6 * body.breast
    trunk = curve(
        [(-4.5, -14), (-0.45 * d - fat, -3), (-0.85 * d - fat, 3.0), (-d - fat - 0.5, 9),
         (-d - fat - chest, 15), (-d - fat - 0.6, 20), (-d - fat - 0.4, 28), (-d - fat, 45),
         (1.1 * d + fat, 45), (1.1 * d + fat, 28), (1.3 * d + fat, 19), (1.36 * d + fat, 11),
         (1.1 * d + fat, 3), (0.8 * d + fat, -3), (6.0, -14)]
    )  # fmt: skip
    mask = canvas.fill(trunk, soft=0.15)
    tissue = 0.30 * mask + 0.42 * canvas.bulge(mask, 5.0) + 0.01 * fat
    arms = canvas.fill(curve([(-9, -14), (-5, -3), (0, 1.6), (5, -0.5), (9, -14)]), soft=0.7)
    belly = canvas.blur((scene.y > body.base + 2.0).astype(np.float32), 1.8)
    return tissue + (0.12 * arms + 0.10 * belly) * mask


def _heart(body: Chest) -> Points:
    """Return the heart: on the front half of the diaphragm, as deep as it is wide."""
    d, low, top = 0.72 * body.half, body.domes[1], body.hilum
    big = sum(body.heart) / (0.9 * body.half)
    back = -0.62 * d + 0.95 * d * big
    return curve(
        [(-0.45 * d, top + 0.5), (-0.78 * d, top + 4.0 / big), (-0.95 * d, low - 3),
         (-0.9 * d, low + 1.6), (-0.3 * d, low + 1.8), (back - 1.0, low + 0.6),
         (back, low - 3.8), (back - 0.8, top + 3.4), (0.1 * d, top - 0.2)],
        closed=True,
    )  # fmt: skip


def _arch(body: Chest) -> Points:
    """Return the aorta: up behind the sternum, over the hilum, down before the spine."""
    d, top, r = 0.72 * body.half, body.hilum, body.knob
    outer = curve([(-0.5 * d, top + 1), (-0.42 * d, top - 3.4), (0.15 * d, top - 4.6 - 0.3 * r),
                   (0.6 * d, top - 2.6), (0.72 * d, top + 2)])  # fmt: skip
    inner = curve([(0.5 * d, top + 2), (0.38 * d, top - 1.4), (0.1 * d, top - 2.2),
                   (-0.12 * d, top - 1.2), (-0.15 * d, top + 1)])  # fmt: skip
    return np.vstack([outer, inner])


def _windpipe(body: Chest) -> Points:
    return curve([(-1.4, -8), (-0.4, -1), (0.6, body.hilum - 3), (1.2, body.hilum + 0.6)])


def _hila(scene: Scene) -> np.ndarray:
    """Return the two hila, one over the other just before and below the carina."""
    out, down = (scene.x - 0.6) / 2.6, (scene.y - scene.body.hilum - 1.4) / 2.8
    return np.exp(-(out**2) - down**2)


def _vessels(scene: Scene, rng: Random, full: float) -> np.ndarray:
    """Return vessels in all directions from the hila; both lungs at once make a finer net."""
    start = (0.6, scene.body.hilum + 1.4)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    widths: list[float] = []
    for i in range(26):
        angle = 2 * pi * i / 26 + rng.uniform(-0.12, 0.12)
        (x, y), wide = start, 0.34 * full
        for _ in range(9):
            angle += rng.gauss(0, 0.2)
            end = (x + 1.35 * cos(angle), y + 1.35 * sin(angle))
            lines.append(((x, y), end))
            widths.append(wide)
            if rng.random() < 0.6:
                turn = angle + rng.choice((-0.6, 0.6))
                lines.append((end, (end[0] + 2.2 * cos(turn), end[1] + 2.2 * sin(turn))))
                widths.append(wide * 0.6)
            (x, y), wide = end, wide * 0.84
    layer = np.zeros(scene.x.shape, np.uint8)
    scene.canvas.traces(layer, np.array(lines), np.array(widths))
    return scene.canvas.blur(layer.astype(np.float32) / 255, 0.05)


def _bones(scene: Scene) -> np.ndarray:
    """Return vertebrae, sternum and the ribs of both sides, which run down and forwards."""
    body, canvas = scene.body, scene.canvas
    d, pitch = 0.72 * body.half, (body.long + 4) / 10.5
    column = curve(
        [(0.35 * d, -5), (0.72 * d, 3), (0.95 * d, 11), (0.92 * d, 19), (0.7 * d, 30)], steps=24
    )
    blocks = []
    for i in range(-2, 17):
        y = -1.0 + pitch * i
        x = float(np.interp(y, column[:, 1], column[:, 0]))
        blocks.append(
            curve([(x - 1.5, y - 0.4 * pitch), (x + 1.5, y - 0.4 * pitch), (x + 1.35, y),
                   (x + 1.5, y + 0.4 * pitch), (x - 1.5, y + 0.4 * pitch), (x - 1.35, y)],
                  closed=True, steps=4)
        )  # fmt: skip
    ribs = []
    for i in range(11):
        for gap in (0.0, 0.7):
            y = -0.5 + pitch * i + gap
            ribs.append(
                curve(
                    [
                        (1.12 * d, y - 0.6),
                        (1.22 * d, y + 0.8),
                        (0.5 * d, y + 3.2),
                        (-0.5 * d, y + 6.0),
                    ]
                )
            )
    plate = curve([(-0.62 * d - 0.8, 2.5), (-0.92 * d - 0.6, 8), (-d - 0.6, 14), (-d - 0.5, 17.5)])
    spine = canvas.fill(*blocks, soft=0.12)
    rims = canvas.stroke([np.vstack([b, b[:1]]) for b in blocks], 0.16, soft=0.06)
    bones = 0.085 * spine + 0.05 * rims + 0.035 * canvas.stroke(ribs, 0.7, soft=0.08, hollow=0.4)
    return bones + 0.09 * canvas.stroke([plate], 1.0, soft=0.08, hollow=0.4)


def _mark(finding: Finding, scene: Scene) -> Mark | None:
    """Return the mark of `finding`; None if it is not visible from the side."""
    painter = _PAINTERS.get(finding.name)
    return painter(finding, scene) if painter else None


def _effusion(finding: Finding, scene: Scene) -> Mark:
    """Fluid in the posterior angle first, then a level that climbs in front and behind."""
    body, total, d = scene.body, np.zeros_like(scene.x), 0.72 * scene.body.half
    for side in sides(finding):
        high = (5.2, 8.6, 14.0)[finding.grade]
        floor = (0.30, 0.6, 0.88)[finding.grade]
        out = np.clip(scene.x / d, -1, 1.15)
        climb = np.where(out > 0, np.abs(out) ** 3, 0.6 * np.abs(out) ** 3)
        level = body.dome(side) + body.recess + 0.6 - high * (floor + (1 - floor) * climb)
        fluid = scene.lungs[side] / (1 + np.exp(np.clip((level - scene.y) / 0.3, -30, 30)))
        total = np.maximum(total, fluid)
    fill = (0.9 if finding.side == "bilateral" else 0.68) * total
    return Mark(finding.name, fill=fill, boxes=(scene.canvas.box(total, 0.5),))


def _place(finding: Finding, scene: Scene) -> tuple[float, float]:
    """Return the middle of an opacity or a lesion."""
    assert finding.box is not None
    y = 0.6 + finding.box[1] * (scene.body.dome(SIGN[finding.side]) - 0.6)
    return _DEPTH[finding.zone] * 0.72 * scene.body.half, y


def _patch(finding: Finding, scene: Scene) -> Mark:
    assert finding.box is not None
    (cx, cy), size = _place(finding, scene), finding.box[3] * scene.body.domes[0] * 0.48
    far = ((scene.x - cx) / size) ** 2 + ((scene.y - cy) / (0.85 * size)) ** 2
    cloud = np.clip(1.1 - 0.85 * far + 0.28 * scene.canvas.mottle(scene.noise, 1.8), 0, 1)
    cloud = scene.canvas.blur(cloud, 0.25) * scene.lungs[SIGN[finding.side]]
    strong = (0.42, 0.55, 0.68)[finding.grade] * (0.6 if finding.name == "Lung Opacity" else 1)
    return Mark(finding.name, fill=strong * cloud, boxes=(scene.canvas.box(cloud, 0.4),))


def _lesion(finding: Finding, scene: Scene) -> Mark:
    (x, y), r = _place(finding, scene), finding.size_cm / 2
    ball = scene.canvas.fill(oval(x, y, r, 0.9 * r))
    fill = 0.72 * scene.canvas.blur(scene.canvas.bulge(ball, 0.6 * r), 0.13)
    return Mark(finding.name, fill=fill, boxes=(scene.canvas.box(ball, 0.5),))


def _edema(finding: Finding, scene: Scene) -> Mark:
    out, down = (scene.x - 1.0) / 6.5, (scene.y - scene.body.hilum - 2.5) / 6.5
    cloud = np.exp(-(out**2) - down**2) * (1 + 0.2 * scene.canvas.mottle(scene.noise, 0.9))
    return Mark(
        finding.name, fill=np.clip((0.32, 0.46, 0.62)[finding.grade] * cloud + 0.05, 0, 0.9)
    )


def _atelectasis(finding: Finding, scene: Scene) -> Mark:
    d, total = 0.72 * scene.body.half, np.zeros_like(scene.x)
    for side in sides(finding):
        low = scene.body.dome(side)
        bands = []
        for i in range(2 + finding.grade):
            y = low + 0.6 - 1.1 * i + scene.rng.uniform(-0.2, 0.2)
            bands.append(curve([(0.1 * d, y - 0.8), (0.45 * d, y - 0.2), (0.85 * d, y + 0.8)]))
        part = scene.canvas.stroke(bands, 0.5 + 0.1 * finding.grade, soft=0.14)
        total = np.maximum(total, part * scene.lungs[side])
    return Mark(finding.name, fill=0.6 * total, boxes=(scene.canvas.box(total, 0.4),))


def _device(finding: Finding, scene: Scene) -> Mark:
    """Metal and tubes from the side: the pacemaker and wires in front, tubes in the middle."""
    body, canvas, d = scene.body, scene.canvas, 0.72 * scene.body.half
    if finding.kind == "pacemaker":
        can = canvas.fill(oval(-0.75 * d, 3.2, 0.8, 2.2, 0.5), soft=0.04)
        lead = curve([(-0.7 * d, 2.6), (-0.2 * d, 3.5), (-0.1 * d, body.hilum),
                      (-0.3 * d, body.base - 4), (-0.85 * d, body.base - 1.5)])  # fmt: skip
        metal = 0.42 * can + 0.34 * canvas.stroke([lead], 0.24, soft=0.02)
    elif finding.kind == "wires":
        metal = 0.42 * canvas.stroke(_loops(d), 0.22, soft=0.02)
    else:
        end = body.base + 5 if finding.kind == "ng" else body.hilum + 1.5
        path = curve([(-0.6, -8), (0.2, 2), (0.8, 0.6 * end), (0.4, end)])
        metal = 0.3 * canvas.stroke([path], 0.24, soft=0.02)
    return Mark(finding.name, add=metal, boxes=(canvas.box(metal, 0.12),))


def _loops(d: float) -> list[np.ndarray]:
    """Return the sternal wires, each a short bar across the sternum as it slopes forwards."""
    heights = [3.5 + 2.3 * i for i in range(6)]
    depths = np.interp(heights, [2.5, 8, 14, 18], [-0.7 * d, -0.98 * d, -1.06 * d, -1.06 * d])
    return [
        curve([(x - 0.7, y + 0.3), (x + 0.7, y)], steps=3)
        for x, y in zip(depths, heights, strict=True)
    ]


_PAINTERS: Mapping[str, Callable[[Finding, Scene], Mark | None]] = {
    "Pleural Effusion": _effusion,
    "Consolidation": _patch,
    "Pneumonia": _patch,
    "Lung Opacity": _patch,
    "Lung Lesion": _lesion,
    "Edema": _edema,
    "Atelectasis": _atelectasis,
    "Support Devices": _device,
}
