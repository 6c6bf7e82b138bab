"""What findings are drawn into and what they give back: Scene and Mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a finding is drawn into: lungs as masks by side, pixel coordinates in cm, and luck."""

    canvas: Canvas
    body: Chest
    lungs: Mapping[int, np.ndarray]
    x: np.ndarray
    y: np.ndarray
    dice: Random
    grain: np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What one finding does to the picture; each array is (height, width) or None."""

    label: str
    fill: np.ndarray | None = None  # share of the air that is replaced by fluid or tissue
    clear: np.ndarray | None = None  # 1 where air lies outside the lung: no vessels there
    add: np.ndarray | None = None  # density on top
    boxes: tuple[tuple[float, float, float, float] | None, ...] = ()
