"""Types that both views share: the scene of a finding, and the mark that the finding makes.

For each finding a function makes a mark from the finding and a scene. A mark describes how the
finding changes the air in the lungs (replaced, or without vessels) and the density that it adds.
`frontal` and `lateral` combine the marks of a study to one map of density.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN, Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas

Boxes = tuple[tuple[str, float, float, float, float], ...]  # (label, x, y, w, h) in pixels


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The surroundings of a finding: lungs as masks by side, pixel coordinates in cm, and rng."""

    canvas: Canvas
    body: Chest
    lungs: Mapping[int, np.ndarray]
    x: np.ndarray
    y: np.ndarray
    rng: Random
    noise: np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """The change of the image by one finding. Each array is (height, width) or None."""

    label: str
    fill: np.ndarray | None = None  # share of the air that is replaced by fluid or tissue
    clear: np.ndarray | None = None  # 1 where air lies outside the lung: no vessels there
    add: np.ndarray | None = None  # density on top
    boxes: tuple[tuple[float, float, float, float] | None, ...] = ()


def sides(finding: Finding) -> tuple[int, ...]:
    """Return the signs of the lungs that a finding lies in."""
    return (-1, 1) if finding.side == "bilateral" else (SIGN[finding.side],)


def boxes_of(marks: Iterable[Mark]) -> Boxes:
    """Return the boxes of all marks, without those that were not visible."""
    return tuple((m.label, *box) for m in marks for box in m.boxes if box is not None)
