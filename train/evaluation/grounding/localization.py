"""Measures how well a heat map shows where a finding is, against the boxes of radiologists.

All measures are of one map and the union of the boxes of one finding or phrase, pixel by pixel of
the image that the model sees (NaN in the map: not seen).

- **Pointing game** (Zhang et al. 2016; CARZero, RadZero): a hit where the map is highest inside a
  box. Where several pixels are equally high it is the share of them that are inside: the expected
  value of a fair draw. A map that is the same everywhere so has the share of the boxes' area.
- **IoU** (BioViL, Boecking et al. 2022, and evaluations of MS-CXR after it): the mean over the
  thresholds 0.1, 0.2, 0.3, 0.4 and 0.5 of the intersection over the union of boxes and map above
  the threshold. Cosines are taken as they are. `iou_scaled` and `dice_scaled` are of the map that
  is first scaled to 0..1, and can be compared between models whose values have other units.
- **CNR** (the same source): |mean inside - mean outside| / sqrt(variance inside + variance
  outside); `cnr_signed` without the absolute value: a map that is low in the boxes is no success.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np

from cxr_vlp.train.evaluation.frame import Mask
from cxr_vlp.train.evaluation.scores import Floats

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
SAME = 1e-6  # of the largest value: what rounding in float32 makes of equal values


@dataclass(frozen=True, slots=True)
class Localization:
    """The measures of one map; None where it has no value.

    chance: the share of the seen pixels that are in a box, which is the expected pointing game of
    any place, and the IoU of a map that is high everywhere.
    """

    pointing: float
    chance: float
    iou: float | None
    iou_scaled: float
    dice_scaled: float
    cnr: float | None
    cnr_signed: float | None


MEASURES = tuple(field.name for field in fields(Localization))


def localize(heat: Floats, inside: Mask, *, cosines: bool = True) -> Localization:
    """Return the measures of a map (H, W), NaN where nothing is seen, and the boxes' pixels (H, W).

    `cosines`: whether the map's values are cosines; else there is no IoU of the values as they are.
    Boxes of which nothing is seen are a miss, without a CNR.
    """
    seen = ~np.isnan(heat)
    values, truth = heat[seen], inside[seen]
    if not truth.any():
        return Localization(0.0, 0.0, 0.0 if cosines else None, 0.0, 0.0, None, None)
    scaled = _scaled(values)
    signed = contrast(values, truth)
    return Localization(
        pointing(values, truth),
        float(truth.mean()),
        float(np.mean([iou(values > at, truth) for at in THRESHOLDS])) if cosines else None,
        float(np.mean([iou(scaled > at, truth) for at in THRESHOLDS])),
        float(np.mean([dice(scaled > at, truth) for at in THRESHOLDS])),
        None if signed is None else abs(signed),
        signed,
    )


def pointing(values: Floats, truth: Mask) -> float:
    """Return the share of the highest values that are in the truth: 0, 1, or between for ties."""
    highest = values.max()
    ties = values >= highest - SAME * abs(highest)
    return float(truth[ties].mean())


def iou(found: Mask, truth: Mask) -> float:
    """Return intersection over union of two masks; 0 where both are empty."""
    union = (found | truth).sum()
    return float((found & truth).sum() / union) if union else 0.0


def dice(found: Mask, truth: Mask) -> float:
    """Return twice the intersection over the sum of two masks; 0 where both are empty."""
    both = found.sum() + truth.sum()
    return float(2 * (found & truth).sum() / both) if both else 0.0


def contrast(values: Floats, truth: Mask) -> float | None:
    """Return (mean inside - mean outside) / sqrt(variance inside + variance outside).

    None where nothing is outside; 0 for a map that is the same everywhere, as the published
    evaluations do.
    """
    if truth.all() or not truth.any():
        return None
    high, low = values[truth], values[~truth]
    spread = float(np.sqrt(high.var() + low.var()))
    difference = float(high.mean() - low.mean())
    if spread <= SAME * float(np.abs(values).max()):
        return 0.0 if abs(difference) <= SAME * float(np.abs(values).max()) else None
    return difference / spread


def row(found: Localization) -> tuple[float, ...]:
    """Return the measures in the order of MEASURES, NaN for None."""
    return tuple(np.nan if value is None else value for value in astuple(found))


def _scaled(values: Floats) -> Floats:
    """Return values moved to 0..1; all 0 where they are the same."""
    low, high = values.min(), values.max()
    if high - low <= SAME * max(abs(high), abs(low)):
        return np.zeros_like(values)
    return (values - low) / (high - low)
