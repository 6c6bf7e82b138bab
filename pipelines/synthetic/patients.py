"""Invented patients: a source's name, a number of studies and a seed go in, a cohort comes out.

A patient has one to three studies; a finding may persist, grow, shrink or vanish from one study to
the next, as it would in a record. What is drawn (`phantom`) and what is written (`grammar`) both
follow from the `Study` alone, which is why picture and report agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cxr_vlp.pipelines.synthetic.findings import Finding, later, persists, sample
from cxr_vlp.pipelines.synthetic.seeding import stream

# Share of all studies that each finding aims at. The nine that the demonstration learns are far
# above a hospital's rates, so that a few hundred studies suffice to learn.
PREVALENCE: Mapping[str, float] = {
    "Cardiomegaly": 0.17,
    "Pleural Effusion": 0.19,
    "Pneumothorax": 0.13,
    "Consolidation": 0.12,
    "Edema": 0.13,
    "Atelectasis": 0.15,
    "Lung Lesion": 0.13,
    "Fracture": 0.13,
    "Support Devices": 0.17,
    "Lung Opacity": 0.06,
    "Pneumonia": 0.06,
    "Enlarged Cardiomediastinum": 0.05,
    "Pleural Other": 0.05,
}
NIH_ONLY: Mapping[str, float] = {"Emphysema": 0.06, "Fibrosis": 0.05, "Hernia": 0.03}
NORMAL_SHARE = 0.37

_VIEWS: Mapping[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "mimic": ((("PA", "LATERAL"), 0.50), (("AP",), 0.44), (("AP", "LATERAL"), 0.06)),
    "chexpert": ((("AP",), 0.60), (("PA", "LATERAL"), 0.34), (("PA",), 0.06)),
    "nih": ((("PA",), 0.60), (("AP",), 0.40)),
    "openi": (
        (("PA", "LATERAL"), 0.83),
        (("PA",), 0.10),
        (("PA", "LATERAL", "AP"), 0.05),
        ((), 0.02),
    ),
}
# Pairs that one chest does not show at once, or that would hide each other.
_EXCLUDES = (
    ("Consolidation", "Pneumonia"),
    ("Consolidation", "Lung Opacity"),
    ("Pneumonia", "Lung Opacity"),
    ("Cardiomegaly", "Enlarged Cardiomediastinum"),
    ("Edema", "Emphysema"),
    ("Edema", "Pneumothorax"),
    ("Pleural Effusion", "Pleural Other"),
    ("Emphysema", "Fibrosis"),
)
# What comes together at the bedside: the right one is this much likelier beside the left one.
_ATTRACTS: Mapping[tuple[str, str], float] = {
    ("Cardiomegaly", "Edema"): 2.0,
    ("Cardiomegaly", "Pleural Effusion"): 1.5,
    ("Edema", "Pleural Effusion"): 1.6,
    ("Fracture", "Pneumothorax"): 1.6,
    ("Pleural Effusion", "Atelectasis"): 1.6,
}
# Of which a radiologist says that they are gone; a tube that was pulled is not missed in words.
_RESOLVES = frozenset(
    ("Pleural Effusion", "Pneumothorax", "Consolidation", "Edema", "Atelectasis", "Lung Opacity")
)
_NIH_NAMES: Mapping[str, tuple[str, ...]] = {
    "Pleural Effusion": ("Effusion",),
    "Pleural Other": ("Pleural_Thickening",),
    "Lung Opacity": ("Infiltration",),
    "Pneumonia": ("Consolidation", "Pneumonia"),
    "Fracture": (),
    "Support Devices": (),
    "Enlarged Cardiomediastinum": (),
}


@dataclass(frozen=True, slots=True)
class Study:
    """One visit to the X-ray room: who, which views, what there is to see."""

    patient: int
    number: int  # from 1 on, in the order of time
    sex: str  # "F" or "M"
    age: int
    views: tuple[str, ...]  # "PA", "AP", "LATERAL"; () for a report without pictures
    findings: tuple[Finding, ...]
    prior: bool  # an earlier film exists to compare with
    resolved: tuple[Finding, ...] = ()  # seen in the study before, gone in this one
    source: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One person and the studies, in the order of time."""

    number: int
    sex: str
    age: int
    studies: tuple[Study, ...]


def cohort(source: str, studies: int, seed: int) -> tuple[Patient, ...]:
    """Return patients of `source` whose studies add up to `studies`.

    Findings are dealt against a running count, so that even a cohort of sixty has each of them.
    """
    luck = stream("cohort", source, seed)
    seen: Counter[str] = Counter()
    patients: list[Patient] = []
    left = studies
    while left:
        visits = min(left, luck.choices((1, 2, 3), (0.62, 0.27, 0.11))[0])
        patients.append(_patient(source, len(patients) + 1, visits, luck, seen))
        left -= visits
    return tuple(patients)


def nih_labels(study: Study) -> list[str]:
    """Return the study's ChestX-ray14 labels, sorted; `["No Finding"]` where there is none.

    It has no word for fractures, devices or a wide mediastinum, and two words for lesions.
    """
    names: set[str] = set()
    for finding in study.findings:
        if finding.name == "Lung Lesion":
            names.add(finding.kind.capitalize())
        else:
            names.update(_NIH_NAMES.get(finding.name, (finding.name,)))
    return sorted(names) or ["No Finding"]


def _patient(source: str, number: int, visits: int, luck: Random, seen: Counter[str]) -> Patient:
    sex = luck.choice("FM")
    age = min(94, max(18, round(luck.gauss(58, 17))))
    studies: list[Study] = []
    for visit in range(1, visits + 1):
        before = studies[-1].findings if studies else None
        findings, resolved = _findings(source, luck, seen, before)
        seen.update(f.name for f in findings)
        seen["studies"] += 1
        seen["normal"] += not findings
        views = _pick(luck, _VIEWS[source])
        prior = visit > 1 or any(f.age_of != "new" for f in findings) or luck.random() < 0.3
        studies.append(Study(number, visit, sex, age, views, findings, prior, resolved, source))
    return Patient(number, sex, age, tuple(studies))


def _findings(
    source: str, luck: Random, seen: Counter[str], before: tuple[Finding, ...] | None
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return (findings of this study, findings of the last one that are gone)."""
    if before is None:
        if _short(seen, "normal", NORMAL_SHARE) > luck.random() - 0.5:
            return (), ()
        return _deal(source, luck, seen, (), luck.choices((1, 2, 3), (0.16, 0.42, 0.42))[0]), ()
    kept = tuple(later(f, luck) for f in before if persists(f, luck))
    fresh = luck.choices((0, 1, 2), (0.6, 0.3, 0.1))[0] if before else luck.choice((0, 1, 2))
    dealt = _deal(source, luck, seen, kept, fresh)
    names = {f.name for f in dealt}
    gone = (f for f in before if f.name not in names and f.name in _RESOLVES)
    return dealt, tuple(f for f in gone if not _clashes(f.name, names))


def _deal(
    source: str, luck: Random, seen: Counter[str], held: tuple[Finding, ...], fresh: int
) -> tuple[Finding, ...]:
    """Return `held` and `fresh` more findings, those that fell short so far first."""
    wanted = {**PREVALENCE, **(NIH_ONLY if source == "nih" else {})}
    hand = list(held)
    for _ in range(fresh):
        names = {f.name for f in hand}
        open_to = [n for n in wanted if n not in names and not _clashes(n, names)]
        if not open_to:
            break
        weights = [
            wanted[n] * 2.0 ** (8 * _short(seen, n, wanted[n])) * _pull(n, names) for n in open_to
        ]
        hand.append(sample(luck.choices(open_to, weights)[0], luck))
    return tuple(sorted(hand, key=lambda f: f.name))


def _short(seen: Counter[str], name: str, share: float) -> float:
    """Return by how much `name` lags behind `share`, measured in the spread of such a count."""
    wanted = share * (seen["studies"] + 1)
    return (wanted - seen[name]) / (1 + wanted**0.5)


def _clashes(name: str, held: set[str]) -> bool:
    return any(name in pair and held & (set(pair) - {name}) for pair in _EXCLUDES)


def _pull(name: str, held: set[str]) -> float:
    factor = 1.0
    for (one, other), gain in _ATTRACTS.items():
        if (name == one and other in held) or (name == other and one in held):
            factor *= gain
    return factor


def _pick(luck: Random, table: tuple[tuple[tuple[str, ...], float], ...]) -> tuple[str, ...]:
    return luck.choices([views for views, _ in table], [weight for _, weight in table])[0]


__all__ = ["PREVALENCE", "Finding", "Patient", "Study", "cohort", "nih_labels"]
