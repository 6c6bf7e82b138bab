"""Computes the measures of one person's chest, and from them the outlines of organs.

Lengths are in centimetres in the frame of `canvas`: x grows to the right of the image, which is the
patient's left in a frontal view, and y grows downwards from the apex of the lungs. `side` is -1 for
the patient's right lung and +1 for the left one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.canvas import Points, curve, moved
from cxr_vlp.pipelines.synthetic.seeding import stream

SIGN: Mapping[str, int] = {"right": -1, "left": 1}


@dataclass(frozen=True, slots=True)
class Chest:
    """The measures of one chest in one image, in cm if nothing else is said."""

    half: float  # inner half width
    long: float  # from apex to diaphragm, before disease moved it
    domes: tuple[float, float]  # y of the right and the left diaphragm
    recess: float  # depth of the costophrenic angle below the dome
    heart: tuple[float, float]  # reach of the heart to the patient's right and left
    hilum: float  # y of the carina
    vessels: float  # half width of the upper mediastinum
    knob: float  # radius of the aortic arch
    shift: float  # of the mediastinum, to the patient's left
    turn: float  # rotation about the long axis: -1..1
    fat: float  # thickness of the chest wall
    lucent: float  # air in a unit of lung
    breast: float  # 0 in men
    portable: bool  # AP: lying or sitting, less air, scapulae over the lungs
    age: int

    def dome(self, side: int) -> float:
        """Return y of the diaphragm's top on `side`."""
        return self.domes[side > 0]

    @property
    def base(self) -> float:
        """Return y of the heart's lower border."""
        return sum(self.domes) / 2 + 1.0


def chest(study: Study, view: str, seed: int) -> Chest:
    """Return the measures of a chest.

    Some are the same in all studies of a person; some depend on the study, some on disease.
    """
    own = stream("person", seed, study.source, study.patient)
    day = stream("day", seed, study.source, study.patient, study.number, view)
    by_name = {f.name: f for f in study.findings}
    portable = view == "AP"
    half = own.gauss(13.6, 0.7) + (0.7 if study.sex == "M" else -0.5)
    long = own.gauss(21.5, 1.1) + (0.8 if study.sex == "M" else 0) - (2.6 if portable else 0)
    long += day.gauss(0, 0.6) + (2.4 if "Emphysema" in by_name else 0)
    long = min(24.5, max(16.5, long))
    domes = _domes(long, own, study.findings)
    ratio = _heart_ratio(
        by_name.get("Cardiomegaly"), own, portable, emphysema="Emphysema" in by_name
    )
    wide = by_name.get("Enlarged Cardiomediastinum")
    return Chest(
        half=half,
        long=long,
        domes=domes,
        recess=own.uniform(4.2, 5.2) * (0.55 if "Emphysema" in by_name else 1),
        heart=(2 * half * ratio * 0.33, 2 * half * ratio * 0.67),
        hilum=long * 0.43,
        vessels=own.uniform(2.3, 2.9) + (1.3 + 0.8 * wide.grade if wide else 0) + 0.3 * portable,
        knob=1.3 + 0.012 * study.age + own.uniform(-0.2, 0.3),
        shift=_shift(study.findings),
        turn=day.gauss(0, 0.35 if portable else 0.18),
        fat=max(1.4, own.gauss(2.6, 0.7)),
        lucent=own.uniform(0.92, 1.05) * (1.2 if "Emphysema" in by_name else 1),
        breast=own.uniform(0.4, 1.0) if study.sex == "F" else own.uniform(0, 0.12),
        portable=portable,
        age=study.age,
    )


def _domes(long: float, own: Random, findings: tuple[Finding, ...]) -> tuple[float, float]:
    """Return y of both diaphragms. Atelectasis raises them, a large pneumothorax lowers them."""
    rise = {-1: 0.0, 1: -own.uniform(0.6, 1.5)}
    for f in findings:
        sides = (-1, 1) if f.side == "bilateral" else (SIGN.get(f.side, 0),)
        for side in sides:
            if f.name == "Atelectasis":
                rise[side] += 1.3 + 0.6 * f.grade
            if f.name == "Pneumothorax" and f.grade == 2:
                rise[side] -= 1.2
    return long - rise[-1], long - rise[1]


def _heart_ratio(found: Finding | None, own: Random, portable: bool, *, emphysema: bool) -> float:
    """Return the cardiothoracic ratio: up to 0.50 is normal in a PA view."""
    if found is None:
        return own.uniform(0.395, 0.46) + 0.025 * portable - 0.04 * emphysema
    doubt = 0.02 if found.assertion == "uncertain" else 0.0
    return (0.57, 0.63, 0.71)[found.grade] - doubt + own.uniform(-0.012, 0.012)


def _shift(findings: tuple[Finding, ...]) -> float:
    """Return the shift of the mediastinum: away from air or fluid, towards collapse."""
    total = 0.0
    for f in findings:
        side = SIGN.get(f.side, 0)
        if f.grade == 2 and f.name in ("Pneumothorax", "Pleural Effusion"):
            total -= 1.6 * side
        if f.grade == 2 and f.name == "Atelectasis":
            total += 0.8 * side
    return total


def wall(body: Chest, side: int) -> Points:
    """Return the inner chest wall of a lung from the apex down to the costophrenic angle."""
    h, low = body.half, body.dome(side)
    knots = (
        (0.27 * h, 0.45), (0.47 * h, 0.0), (0.66 * h, 1.1), (0.82 * h, 4.0), (0.92 * h, 8.0),
        (0.985 * h, 13.0), (h, low - 2.5), (0.995 * h, low + 1.5), (0.97 * h, low + body.recess),
    )  # fmt: skip
    return curve(knots) * (side, 1)


def diaphragm(body: Chest, side: int) -> Points:
    """Return the diaphragm from the costophrenic angle to the heart."""
    h, top, deep = body.half, body.dome(side), body.recess
    knots = (
        (0.97 * h, top + deep), (0.86 * h, top + 0.42 * deep), (0.68 * h, top + 0.10 * deep),
        (0.46 * h, top), (0.28 * h, top + 0.12 * deep), (1.6, top + 0.3 * deep),
    )  # fmt: skip
    return curve(knots) * (side, 1)


def lung(body: Chest, side: int) -> Points:
    """Return the outline of one lung; the heart is in front of it and replaces its air."""
    top = body.dome(side)
    back = curve([(1.6, top + 0.3 * body.recess), (1.7, body.hilum), (0.2 * body.half, 1.3)])
    back[:, 0] = back[:, 0] * side + 0.6 * body.shift
    return np.vstack([wall(body, side), diaphragm(body, side)[1:], back[1:]])


def heart(body: Chest) -> Points:
    """Return the outline of the heart with the pulmonary trunk above its left border."""
    right, left = body.heart
    top, low = body.hilum, body.base
    knots = (
        (2.4, top - 0.6), (3.1, top + 0.9), (0.55 * left, top + 2.8), (0.86 * left, low - 5.0),
        (left, low - 2.3), (0.93 * left, low - 0.1), (0.6 * left, low + 1.1),
        (0.0, low + 1.2), (-0.75 * right, low + 0.6), (-0.97 * right, low - 1.6),
        (-right, low - 4.0), (-0.84 * right, top + 3.2), (-2.2, top + 0.6), (-1.8, top - 0.8),
    )  # fmt: skip
    return moved(curve(knots, closed=True), body.shift)


def mediastinum(body: Chest) -> tuple[Points, ...]:
    """Return the great vessels: the upper mediastinum, the arch and the descending aorta."""
    w, top = body.vessels, body.hilum
    arch = top - 2.6
    trunk = curve(
        [(-w * 0.9, -7.0), (-w * 0.85, 0.5), (-w, arch - 1), (-w, top + 1), (0, top + 2.5),
         (w * 0.9, top + 1), (w * 0.85, arch + 1), (w * 0.95, arch - 2.6), (w, 0.5), (w, -7.0)]
    )  # fmt: skip
    r = body.knob + 0.45 * (body.vessels - 2.6)
    t = np.linspace(0, 2 * np.pi, 24)
    knob = np.stack([w * 0.72 + r * np.cos(t), arch + 0.2 + r * np.sin(t)], axis=1)
    x = w * 0.72 + r
    down = curve(
        [(0, arch), (x - 0.3, arch + 1), (x - 0.9, top + 1), (2.1, body.base - 5),
         (1.6, body.base + 4), (0, body.base + 4)]
    )  # fmt: skip
    return tuple(moved(part, 0.7 * body.shift) for part in (trunk, knob, down))


def inside(body: Chest, side: int, u: float, v: float) -> tuple[float, float]:
    """Return the point of a lung at (u, v) of `Finding.box`; u excludes what the heart covers."""
    edge = wall(body, side) * (side, 1)
    y = 0.6 + v * (body.dome(side) - 0.6)
    lateral = float(np.interp(y, edge[12:, 1], edge[12:, 0]))
    covered = body.heart[side > 0] * 0.62 if side > 0 else 2.6
    medial = float(np.interp(y, [body.hilum, body.hilum + 5], [2.6, max(2.6, covered)]))
    return side * (medial + u * (lateral - medial)), y
