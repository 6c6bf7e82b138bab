"""What a report shall say, before any wording: a study goes in, a Plan comes out.

The plan depends on the study alone and not on the seed of the wording, so that the labels of a
study can be told without its text and still agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.patients import Study

CHEXPERT = (
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
# How often a report takes the trouble to deny a finding that is not there.
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
    """Return what the report of `study` says, whatever its wording."""
    luck = stream("plan", study.source, study.patient, study.number, study.age)
    stated = {f.name for f in study.findings} | {f.name for f in study.resolved}
    if "Pneumonia" in stated:
        stated.add("Consolidation")
    # A heart that is called large is no reason to call its silhouette normal in the next sentence.
    if "Cardiomegaly" in stated:
        stated.add("Enlarged Cardiomediastinum")
    if "Enlarged Cardiomediastinum" in stated:
        stated.add("Cardiomegaly")
    wanted = {name: luck.random() < share for name, share in _DENIED.items()}
    denied = tuple(name for name, said in wanted.items() if said and name not in stated)
    shapes = _SHAPES.get(study.source, _SHAPES["mimic"])
    shape = luck.choices(list(shapes), list(shapes.values()))[0]
    return Plan(study.findings, denied, shape)


def labels(study: Study) -> dict[str, int]:
    """Return the CheXpert labels a labeler would read from the report of `study`.

    1 stated, 0 denied, -1 hedged, no key where nothing is said. "No Finding" is 1 where nothing but
    a device is stated or hedged.
    """
    said = plan(study)
    found = dict.fromkeys(said.denied, 0) | {f.name: 0 for f in study.resolved}
    for finding in said.stated:
        found[finding.name] = 1 if finding.assertion == "present" else -1
        if finding.name == "Pneumonia":
            found["Consolidation"] = 1  # the shadow is certain, only its cause may be in doubt
    if not any(value for name, value in found.items() if name != "Support Devices"):
        found["No Finding"] = 1
    return {name: found[name] for name in CHEXPERT if name in found}
