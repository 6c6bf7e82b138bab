"""The lateral film: a chest and its findings go in, a map of density and boxes come out.

The patient looks to the left of the picture, the left side against the plate. x runs from the
middle of the chest backwards, y as in the frontal film. Both lungs lie over each other, so a
finding's side does not show here, only its height and depth.
"""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas, Points, curve
from cxr_vlp.pipelines.synthetic.phantom.lateral_findings import lateral_mark
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream

Boxes = tuple[tuple[str, float, float, float, float], ...]


def lateral(
    study: Study, view: str, canvas: Canvas, body: Chest, seed: int
) -> tuple[np.ndarray, Boxes]:
    """Return (density, boxes) of a lateral film."""
    key = (seed, study.source, study.patient, study.number, view)
    x, y = canvas.grid()
    lungs = {side: canvas.fill(outline(body, side), soft=0.1) for side in (-1, 1)}
    scene = Scene(canvas, body, lungs, x, y, stream("side", *key), noise_stream("side", *key))
    drawn = [m for f in study.findings if (m := lateral_mark(f, scene)) is not None]
    wet = any(f.name == "Edema" for f in study.findings)
    trees = _vessels(scene, stream("vessels", *key), 1.4 if wet else 1.0)
    density = _density(scene, drawn, trees, noise_stream("lung", *key))
    boxes = tuple((m.label, *box) for m in drawn for box in m.boxes if box is not None)
    return density, boxes


def outline(body: Chest, side: int) -> Points:
    """Return one lung from the side; the right dome stands higher and runs on to the sternum."""
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
    scene: Scene, marks: list[Mark], vessels: np.ndarray, grain: np.random.Generator
) -> np.ndarray:
    """Return tissue minus air plus bone; marks change the air first."""
    canvas, body = scene.canvas, scene.body
    one, other = scene.lungs[-1], scene.lungs[1]
    air = canvas.bulge(np.minimum(one + other, 1), 4.5) * (0.5 * one + 0.5 * other) * body.lucent
    fine = canvas.mottle(grain, 0.4) + 0.7 * canvas.mottle(grain, 1.2)
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


def _vessels(scene: Scene, dice: Random, full: float) -> np.ndarray:
    """Return vessels in all directions from the hila; both lungs at once make a finer net."""
    start = (0.6, scene.body.hilum + 1.4)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    widths: list[float] = []
    for i in range(26):
        angle = 2 * pi * i / 26 + dice.uniform(-0.12, 0.12)
        (x, y), wide = start, 0.34 * full
        for _ in range(9):
            angle += dice.gauss(0, 0.2)
            end = (x + 1.35 * cos(angle), y + 1.35 * sin(angle))
            lines.append(((x, y), end))
            widths.append(wide)
            if dice.random() < 0.6:
                turn = angle + dice.choice((-0.6, 0.6))
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
