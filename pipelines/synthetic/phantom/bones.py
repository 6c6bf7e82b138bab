"""The skeleton of a frontal film: a chest and its fractures go in, one mask of bone comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN, Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas, Points, curve, moved, oval

_BEHIND = range(1, 11)  # posterior arcs of the ribs that cross the lungs
_BEFORE = range(1, 7)
_BREAK = 0.74  # where along a posterior arc a rib breaks: the lateral third


@dataclass(frozen=True, slots=True, eq=False)
class Bones:
    """Masks of the ribs and of all other bone, and where it is broken (x, y in cm)."""

    ribs: np.ndarray
    rest: np.ndarray
    breaks: tuple[tuple[float, float], ...]


def skeleton(canvas: Canvas, body: Chest, fracture: Finding | None) -> Bones:
    """Return ribs, clavicles, scapulae, humeral heads and spine, broken where `fracture` says."""
    behind: list[Points] = []
    breaks: list[tuple[float, float]] = []
    for side in (-1, 1):
        for number in _BEHIND:
            arc = rib(body, side, number)
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
    return Bones(ribs, rest, tuple(breaks))


def rib(body: Chest, side: int, number: int) -> Points:
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
            start = rib(body, side, number + 1)[-1] * (side, 1)
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
    """Return what shows around the breaks: blood and callus, in an old fracture more of it."""
    strong = 1.6 if fracture.assertion == "uncertain" else 2.0 + 0.25 * fracture.grade
    strong += 0.3 * (fracture.age_of == "old")
    wide = 1.15 + 0.12 * fracture.grade
    spots = [oval(x, y, wide, 0.7 * wide, 0.6) for x, y in breaks]
    return strong * canvas.fill(*spots, soft=0.3)


def _shoulders(canvas: Canvas, body: Chest) -> np.ndarray:
    """Return humeral heads and scapulae; on a PA film these are turned off the lungs."""
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
