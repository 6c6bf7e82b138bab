"""Pulmonary vessels: a chest goes in, a mask of two branching trees comes out."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas

# Directions of the segmental arteries, in degrees from straight down, outwards and up.
_FAN = (12, 32, 52, 74, 98, 124, 150)
_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Vessel:
    """One vessel before it branches: where it starts and how it runs, in cm and radians."""

    x: float
    y: float
    angle: float
    wide: float
    reach: float
    depth: int  # how many times it may still branch


def trees(canvas: Canvas, body: Chest, luck: Random, *, full: float, cephalic: float) -> np.ndarray:
    """Return the vessels of both lungs as a mask 0..1.

    `full` widens all of them; `cephalic` (0..1) widens the upper ones, which in an upright healthy
    person are thinner than the lower ones.
    """
    lines: list[tuple[float, list[tuple[float, float]]]] = []
    for side in (-1, 1):
        x, y = side * 2.7 + 0.7 * body.shift, body.hilum + (1.6 if side < 0 else 0.9)
        for degrees in _FAN:
            down = (1 + cos(degrees * pi / 180)) / 2
            wide = (0.30 + 0.22 * down + 0.26 * cephalic * (1 - down)) * full
            reach = (body.dome(side) - body.hilum) * 0.30 if degrees < 60 else body.half * 0.25
            angle = (90 - degrees - luck.uniform(-6, 6)) * pi / 180
            root = Vessel(x, y, angle, wide * luck.uniform(0.85, 1.1), reach, _DEPTH)
            _branch(lines, luck, side, root)
    layer = np.zeros((canvas.height, canvas.width), np.uint8)
    lines.sort(key=lambda line: line[0])
    canvas.traces(layer, np.array([p for _, p in lines]), np.array([w for w, _ in lines]))
    return canvas.blur(layer.astype(np.float32) / 255, 0.045)


def _branch(
    lines: list[tuple[float, list[tuple[float, float]]]], luck: Random, side: int, root: Vessel
) -> None:
    """Add one vessel, bent a little, and its two children, thinner and turned apart."""
    x, y, angle = root.x, root.y, root.angle
    bend = luck.gauss(0, 0.13)
    line = [(x, y)]
    for _ in range(3):
        x += side * cos(angle) * root.reach / 3
        y += sin(angle) * root.reach / 3
        angle += bend
        line.append((x, y))
    lines.append((root.wide, line))
    if root.depth == 0 or root.wide < 0.04:
        return
    spread = luck.uniform(0.28, 0.55)
    for lean, share in ((spread * 0.5, 0.76), (-spread, 0.58)):
        turn = angle + (lean if luck.random() < 0.5 else -lean)
        reach = root.reach * luck.uniform(0.66, 0.86)
        _branch(lines, luck, side, Vessel(x, y, turn, root.wide * share, reach, root.depth - 1))
