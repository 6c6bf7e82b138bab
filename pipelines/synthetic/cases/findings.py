"""The type of a finding, the sampling of new findings, and their change until the next study.

A finding has everything that the image and the report need: side, severity, place in the lung,
size, certain or hedged, new or old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

# In the order of CheXpert's own header, which is not alphabetical.
CHEXPERT_LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
SEVERITIES = ("mild", "moderate", "severe")
SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its label, place and severity, and how certain the reader is.

    `box` is its place in its lung: centre and extent (u, v, du, dv) in fractions, u from the
    mediastinum outwards and v from the apex down. `side` is the patient's side.
    """

    name: str
    side: str = ""  # "left", "right", "bilateral" or ""
    severity: str = "moderate"
    zone: str = ""  # "upper", "mid", "lower"; "ribs" or "clavicle" for a fracture
    box: tuple[float, float, float, float] | None = None
    kind: str = ""  # nodule, mass; ett, line, ng, pacemaker, wires, tube
    assertion: str = "present"  # or "uncertain": drawn faintly, hedged in the report
    age_of: str = "new"  # new, stable, larger, smaller, old
    size_cm: float = 0.0  # of a lesion
    number: int = 0  # of the first broken rib

    @property
    def grade(self) -> int:
        """Return 0, 1 or 2 for mild, moderate or severe."""
        return SEVERITIES.index(self.severity)

    @property
    def broken(self) -> int:
        """Return how many ribs are broken: at least two, as one is not visible in a small image."""
        return (2, 3, 5)[self.grade]


def sample(name: str, rng: Random) -> Finding:
    """Return a new finding called `name`, with a random place and severity."""
    severity = rng.choices(SEVERITIES, (0.34, 0.40, 0.26))[0]
    finding = Finding(name, severity=severity)
    if name in _PLACE:
        finding = _PLACE[name](finding, rng)
    age_of = rng.choices(("new", "stable", "old"), (0.72, 0.2, 0.08))[0]
    finding = replace(finding, age_of=age_of if name not in _NEVER_OLD else "new")
    # Only a mild finding is uncertain, and not one that is known from an earlier study.
    doubtful = severity == "mild" and finding.age_of == "new" and name not in _NEVER_DOUBTED
    if doubtful and rng.random() < 0.55:
        return replace(finding, assertion="uncertain")
    return finding


def persists(finding: Finding, rng: Random) -> bool:
    """Return whether the next study still shows it. Fixed findings stay; devices may be removed."""
    fixed = finding.name in _FIXED and finding.name != "Support Devices"
    return fixed or rng.random() < 0.62


def later(finding: Finding, rng: Random) -> Finding:
    """Return the same finding as the next study shows it: the same, larger or smaller."""
    if finding.name in _FIXED:
        return replace(finding, assertion="present", age_of="stable")
    step = rng.choices((-1, 0, 1), (0.25, 0.5, 0.25))[0]
    grade = finding.grade + step
    if step == 0 or not 0 <= grade <= 2:
        return replace(finding, assertion="present", age_of="stable")
    age_of = "larger" if step > 0 else "smaller"
    return replace(finding, severity=SEVERITIES[grade], assertion="present", age_of=age_of)


_NEVER_OLD = frozenset(("Support Devices", "Pneumothorax", "Pneumonia", "Edema", "Consolidation"))
_NEVER_DOUBTED = frozenset(("Support Devices", "Emphysema", "Hernia"))
_FIXED = frozenset(
    (
        "Support Devices",
        "Fracture",
        "Lung Lesion",
        "Pleural Other",
        "Cardiomegaly",
        "Hernia",
        "Enlarged Cardiomediastinum",
        "Emphysema",
        "Fibrosis",
    )
)


def _effusion(finding: Finding, rng: Random) -> Finding:
    side = rng.choices((*SIDES, "bilateral"), (0.4, 0.35, 0.25))[0]
    return replace(finding, side=side, zone="lower")


def _pneumothorax(finding: Finding, rng: Random) -> Finding:
    return replace(finding, side=rng.choice(SIDES), zone="upper")


def _patch(finding: Finding, rng: Random) -> Finding:
    """Place an opacity: its lobe, centre and extent, which grows with the grade."""
    side = rng.choice(SIDES)
    zone = rng.choices(("upper", "mid", "lower"), (0.28, 0.22, 0.5))[0]
    middle = {"upper": 0.30, "mid": 0.52, "lower": 0.76}[zone] + rng.uniform(-0.04, 0.04)
    extent = 0.30 + 0.12 * finding.grade + rng.uniform(0, 0.06)
    box = (rng.uniform(0.40, 0.62), middle, extent * 1.35, extent)
    return replace(finding, side=side, zone=zone, box=box)


def _atelectasis(finding: Finding, rng: Random) -> Finding:
    side = rng.choices((*SIDES, "bilateral"), (0.36, 0.34, 0.3))[0]
    kind = "lobar" if side == "left" and finding.severity == "severe" else "plate"
    return replace(finding, side=side, zone="lower", kind=kind)


def _lesion(finding: Finding, rng: Random) -> Finding:
    kind = rng.choices(("nodule", "mass"), (0.45, 0.55))[0]
    low, high = (2.0, 3.0) if kind == "nodule" else (3.3, 6.8)
    size = round(low + (high - low) * (finding.grade + rng.random()) / 3, 1)
    zone = rng.choices(("upper", "mid", "lower"), (0.45, 0.3, 0.25))[0]
    middle = {"upper": 0.27, "mid": 0.50, "lower": 0.70}[zone] + rng.uniform(-0.05, 0.05)
    box = (rng.uniform(0.42, 0.66), middle, 0.0, 0.0)
    side = rng.choice(SIDES)
    return replace(finding, kind=kind, size_cm=size, zone=zone, box=box, side=side)


def _fracture(finding: Finding, rng: Random) -> Finding:
    zone = rng.choices(("ribs", "clavicle"), (0.7, 0.3))[0]
    return replace(finding, zone=zone, side=rng.choice(SIDES), number=rng.choice((4, 5, 6)))


def _device(finding: Finding, rng: Random) -> Finding:
    kinds = ("ett", "line", "ng", "pacemaker", "wires", "tube")
    kind = rng.choices(kinds, (0.2, 0.22, 0.12, 0.22, 0.16, 0.08))[0]
    side = {"pacemaker": "left", "ett": "", "ng": "", "wires": ""}.get(kind, rng.choice(SIDES))
    return replace(finding, kind=kind, side=side, severity="moderate")


def _thickening(finding: Finding, rng: Random) -> Finding:
    return replace(finding, side=rng.choice(SIDES), zone=rng.choice(("upper", "lower")))


_PLACE: Mapping[str, Callable[[Finding, Random], Finding]] = {
    "Pleural Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _patch,
    "Pneumonia": _patch,
    "Lung Opacity": _patch,
    "Atelectasis": _atelectasis,
    "Lung Lesion": _lesion,
    "Fracture": _fracture,
    "Support Devices": _device,
    "Pleural Other": _thickening,
}
