"""Invents patients, their studies and the findings of each study.

A patient has one to three studies. A finding may persist, grow, shrink or disappear from one study
to the next, as it would in a record. The image (`phantom`) and the report (`reports`) both follow
from the `Study` alone, so they agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cxr_vlp.pipelines.synthetic.cases.findings import Finding, later, persists, sample
from cxr_vlp.pipelines.synthetic.seeding import stream

# The share of all studies that should have each finding. The nine that the demo learns are far more
# frequent than in a hospital, so that a few hundred studies are enough to learn them.
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
    "openi": (
        (("PA", "LATERAL"), 0.83),
        (("PA",), 0.10),
        (("PA", "LATERAL", "AP"), 0.05),
        ((), 0.02),
    ),
    "chexpertplus": ((("AP",), 0.60), (("PA", "LATERAL"), 0.34), (("PA",), 0.06)),
    "brax": ((("PA", "LATERAL"), 0.55), (("AP",), 0.35), (("PA",), 0.10)),
    "rexgradient": ((("PA", "LATERAL"), 0.70), (("AP",), 0.30)),
    "padchest": ((("PA", "LATERAL"), 0.60), (("PA",), 0.15), (("AP",), 0.25)),
    "bimcv": ((("AP",), 0.60), (("PA", "LATERAL"), 0.40)),
}
_ONE_FRONTAL = ((("PA",), 0.60), (("AP",), 0.40))  # collections of single frontal images
# Pairs that one chest does not have at once, or of which one would hide the other.
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
# Findings that occur together: the factor by which each is more likely beside the other.
_ATTRACTS: Mapping[tuple[str, str], float] = {
    ("Cardiomegaly", "Edema"): 2.0,
    ("Cardiomegaly", "Pleural Effusion"): 1.5,
    ("Edema", "Pleural Effusion"): 1.6,
    ("Fracture", "Pneumothorax"): 1.6,
    ("Pleural Effusion", "Atelectasis"): 1.6,
}
# A report says that one of these has resolved. It does not mention a device that was removed.
_RESOLVES = frozenset(
    ("Pleural Effusion", "Pneumothorax", "Consolidation", "Edema", "Atelectasis", "Lung Opacity")
)


@dataclass(frozen=True, slots=True)
class Study:
    """One study: the patient, the views and the findings."""

    patient: int
    number: int  # from 1 on, in the order of time
    sex: str  # "F" or "M"
    age: int
    views: tuple[str, ...]  # "PA", "AP", "LATERAL"; () for a report without images
    findings: tuple[Finding, ...]
    prior: bool  # an earlier study exists to compare with
    resolved: tuple[Finding, ...] = ()  # seen in the study before, gone in this one
    source: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient and the studies, in the order of time."""

    number: int
    sex: str
    age: int
    studies: tuple[Study, ...]


def cohort(source: str, studies: int, seed: int) -> tuple[Patient, ...]:
    """Return patients of `source` whose studies add up to `studies`.

    A finding that was too rare so far becomes more likely, so even sixty studies have each finding.
    """
    rng = stream("cohort", source, seed)
    seen: Counter[str] = Counter()
    patients: list[Patient] = []
    left = studies
    while left:
        visits = min(left, rng.choices((1, 2, 3), (0.62, 0.27, 0.11))[0])
        patients.append(_patient(source, len(patients) + 1, visits, rng, seen))
        left -= visits
    return tuple(patients)


def _patient(source: str, number: int, visits: int, rng: Random, seen: Counter[str]) -> Patient:
    sex = rng.choice("FM")
    age = min(94, max(18, round(rng.gauss(58, 17))))
    studies: list[Study] = []
    for visit in range(1, visits + 1):
        before = studies[-1].findings if studies else None
        findings, resolved = _findings(source, rng, seen, before)
        seen.update(f.name for f in findings)
        seen["studies"] += 1
        seen["normal"] += not findings
        views = _pick(rng, _VIEWS.get(source, _ONE_FRONTAL))
        prior = visit > 1 or any(f.age_of != "new" for f in findings) or rng.random() < 0.3
        studies.append(Study(number, visit, sex, age, views, findings, prior, resolved, source))
    return Patient(number, sex, age, tuple(studies))


def _findings(
    source: str, rng: Random, seen: Counter[str], before: tuple[Finding, ...] | None
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return (findings of this study, findings of the last one that are gone)."""
    if before is None:
        if _shortfall(seen, "normal", NORMAL_SHARE) > rng.random() - 0.5:
            return (), ()
        return _add_findings(
            source, rng, seen, (), rng.choices((1, 2, 3), (0.16, 0.42, 0.42))[0]
        ), ()
    kept = tuple(later(f, rng) for f in before if persists(f, rng))
    fresh = rng.choices((0, 1, 2), (0.6, 0.3, 0.1))[0] if before else rng.choice((0, 1, 2))
    found = _add_findings(source, rng, seen, kept, fresh)
    names = {f.name for f in found}
    gone = (f for f in before if f.name not in names and f.name in _RESOLVES)
    return found, tuple(f for f in gone if not _clashes(f.name, names))


def _add_findings(
    source: str, rng: Random, seen: Counter[str], held: tuple[Finding, ...], fresh: int
) -> tuple[Finding, ...]:
    """Return `held` and `fresh` more findings; those that were too rare so far are more likely."""
    wanted = {**PREVALENCE, **(NIH_ONLY if source == "nih" else {})}
    chosen = list(held)
    for _ in range(fresh):
        names = {f.name for f in chosen}
        open_to = [n for n in wanted if n not in names and not _clashes(n, names)]
        if not open_to:
            break
        weights = [
            wanted[n] * 2.0 ** (8 * _shortfall(seen, n, wanted[n])) * _pull(n, names)
            for n in open_to
        ]
        chosen.append(sample(rng.choices(open_to, weights)[0], rng))
    return tuple(sorted(chosen, key=lambda f: f.name))


def _shortfall(seen: Counter[str], name: str, share: float) -> float:
    """Return how far the count of `name` is below `share`, in about standard deviations."""
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


def _pick(rng: Random, table: tuple[tuple[tuple[str, ...], float], ...]) -> tuple[str, ...]:
    return rng.choices([views for views, _ in table], [weight for _, weight in table])[0]
