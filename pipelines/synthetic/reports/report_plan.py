"""Plans the content of a report: findings stated, findings denied, sections.

The plan depends on the study alone and not on the seed of the wording, so the labels of a study are
known without its text and agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS, Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.seeding import stream

# How often a report denies a finding that is absent.
_DENIED = {
    "Pneumothorax": 0.85,
    "Pleural Effusion": 0.85,
    "Consolidation": 0.8,
    "Cardiomegaly": 0.6,
    "Edema": 0.4,
    "Enlarged Cardiomediastinum": 0.45,
    "Pneumonia": 0.15,
    "Fracture": 0.2,
    "Lung Lesion": 0.12,
}
_SHAPES = {
    "mimic": {"full": 0.76, "impression": 0.11, "findings": 0.06, "body": 0.07},
    "openi": {"full": 0.86, "impression": 0.13, "findings": 0.01},
    "chexpertplus": {"impression": 0.7, "full": 0.25, "findings": 0.05},
    "rexgradient": {"full": 0.9, "impression": 0.06, "findings": 0.04},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which findings are stated, which are denied, which sections the report has.

    `shape`: "full" (findings and impression), "impression", "findings", or "body" (one paragraph
    under no heading).
    """

    stated: tuple[Finding, ...]
    denied: tuple[str, ...]
    shape: str


def plan(study: Study) -> Plan:
    """Return the content of the report of `study`, independent of its wording."""
    rng = stream("plan", study.source, study.patient, study.number, study.age)
    stated = {f.name for f in study.findings} | {f.name for f in study.resolved}
    if "Pneumonia" in stated:
        stated.add("Consolidation")
    # A report that calls the heart large does not call its silhouette normal.
    if "Cardiomegaly" in stated:
        stated.add("Enlarged Cardiomediastinum")
    if "Enlarged Cardiomediastinum" in stated:
        stated.add("Cardiomegaly")
    wanted = {name: rng.random() < share for name, share in _DENIED.items()}
    denied = tuple(name for name, said in wanted.items() if said and name not in stated)
    shapes = _SHAPES.get(study.source, _SHAPES["mimic"])
    shape = rng.choices(list(shapes), list(shapes.values()))[0]
    return Plan(study.findings, denied, shape)


def labels(study: Study) -> dict[str, int]:
    """Return the CheXpert labels a labeler would read from the report of `study`.

    1 stated, 0 denied, -1 hedged, no key where it is not mentioned. "No Finding" is 1 if nothing
    but a device is stated or hedged.
    """
    said = plan(study)
    found = dict.fromkeys(said.denied, 0) | {f.name: 0 for f in study.resolved}
    for finding in said.stated:
        found[finding.name] = 1 if finding.assertion == "present" else -1
        if finding.name == "Pneumonia":
            found["Consolidation"] = 1  # certain; only its cause may be uncertain
    if not any(value for name, value in found.items() if name != "Support Devices"):
        found["No Finding"] = 1
    return {name: found[name] for name in CHEXPERT_LABELS if name in found}
