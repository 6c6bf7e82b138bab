"""The names of findings in VinDr-CXR, VinBigData and VinDr-PCXR, as their tables spell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.patients import Study

Place = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Marks = Mapping[str, Sequence[Place]]

LOCAL = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion",
)  # fmt: skip
GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other disease")
LABELS = (*LOCAL, *GLOBAL)
VINBIGDATA = (  # the place is the class_id; No finding is 14
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD",
    "Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis",
)  # fmt: skip
CHILD = (
    "No finding", "Bronchitis", "Brocho-pneumonia", "Other disease", "Bronchiolitis",
    "Situs inversus", "Pneumonia", "Pleuro-pneumonia", "Diagphramatic hernia", "Tuberculosis",
    "Congenital emphysema", "CPAM", "Hyaline membrane disease", "Mediastinal tumor", "Lung tumor",
)  # fmt: skip
CHILD_LOCAL = (
    "Boot-shaped heart", "Peribronchovascular interstitial opacity", "Reticulonodular opacity",
    "Bronchial thickening", "Enlarged PA", "Cardiomegaly", "Diffuse aveolar opacity",
    "Other opacity", "Other lesion", "Consolidation", "Mediastinal shift",
    "Anterior mediastinal mass", "Dextro cardia", "Pleural effusion", "Stomach on the right side",
    "Atelectasis", "Lung hyperinflation", "Egg on string sign", "Interstitial lung disease - ILD",
    "Infiltration", "Lung cavity", "Pneumothorax", "Edema", "Pleural thickening",
    "Other nodule/mass", "Clavicle fracture", "Chest wall mass", "Lung cyst", "Emphysema",
    "Bronchectasis", "Expanded edges of the anterior ribs", "Pulmonary fibrosis",
    "Paraveterbral mass", "Aortic enlargement", "Calcification",
    "Intrathoracic digestive structure",
)  # fmt: skip

# A finding of the drawings -> the names that the readers of VinDr-CXR use.
_OF: Mapping[str, str] = {
    "Pleural Effusion": "Pleural effusion",
    "Lung Lesion": "Nodule/Mass",
    "Pleural Other": "Pleural thickening",
    "Enlarged Cardiomediastinum": "Aortic enlargement",
    "Lung Opacity": "Lung Opacity",
}
_SAME = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pneumothorax", "Pneumonia")
# local finding of VinDr-CXR -> (disease, local finding) of VinDr-PCXR; "" is none
_CHILD_OF: Mapping[str, tuple[str, str]] = {
    "Consolidation": ("Brocho-pneumonia", "Consolidation"),
    "Lung Opacity": ("Bronchitis", "Diffuse aveolar opacity"),
    "Pneumonia": ("Pneumonia", "Other opacity"),
    "Nodule/Mass": ("Lung tumor", "Other nodule/mass"),
    "Aortic enlargement": ("Mediastinal tumor", "Paraveterbral mass"),
    "Rib fracture": ("Bronchiolitis", ""),  # a disease without a place: its box row says No finding
    "Clavicle fracture": ("Other disease", "Clavicle fracture"),
    "Pleural thickening": ("Diagphramatic hernia", "Intrathoracic digestive structure"),
    "Pleural effusion": ("Pleuro-pneumonia", "Pleural effusion"),
    "Edema": ("Other disease", "Interstitial lung disease - ILD"),
}
# Names that are misspelt in the tables, or that other collections have in another form.
_SPELT: Mapping[str, str] = {
    "Pulmonary fibrosis": "Fibrosis", "Brocho-pneumonia": "Broncho-pneumonia",
    "Diagphramatic hernia": "Diaphragmatic hernia", "Bronchectasis": "Bronchiectasis",
    "Diffuse aveolar opacity": "Diffuse alveolar opacity", "Dextro cardia": "Dextrocardia",
    "Paraveterbral mass": "Paravertebral mass", "Interstitial lung disease - ILD": "ILD",
    "No finding": "No Finding",
}  # fmt: skip


def columns(other: str) -> tuple[str, ...]:
    """Return the 28 label columns, of which the last disease is called `other`."""
    return (*LABELS[:-1], other, "No finding")


def spelt(name: str) -> str:
    """Return the label that a name of the tables stands for, in the tables' own capitals."""
    return _SPELT.get(name, name)


def marks(study: Study, boxes: Sequence[Sequence[Any]], size: tuple[int, int]) -> Marks:
    """Return what is seen on a film: the boxes of each local finding, none of a global one."""
    wide, high = size
    found: dict[str, Sequence[Place]] = {}
    for finding in study.findings:
        name = _OF.get(finding.name, finding.name if finding.name in _SAME else "")
        if finding.name == "Fracture":
            name = "Clavicle fracture" if finding.zone == "clavicle" else "Rib fracture"
        if name in GLOBAL:
            found[name] = ()
        elif name:
            drawn = [_clipped(place, size) for label, *place in boxes if label == finding.name]
            somewhere = (wide * 0.2, high * 0.2, wide * 0.5, high * 0.5)
            found[name] = tuple(drawn) or (_clipped(somewhere, size),)
    return found


def _clipped(place: Sequence[float], size: tuple[int, int]) -> Place:
    """Return whole corners inside the film of a box (x, y, width, height)."""
    x, y, w, h = place
    left, top = (min(max(0, round(v)), side - 1) for v, side in zip((x, y), size, strict=True))
    right, bottom = (min(round(v), side) for v, side in zip((x + w, y + h), size, strict=True))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def of_vinbigdata(found: Marks) -> dict[str, Sequence[Place]]:
    """Return a reader's marks in the 14 classes; a local finding that is none is `Other lesion`."""
    named: dict[str, Sequence[Place]] = {}
    for name, places in found.items():
        if places:
            kept = name if name in VINBIGDATA else "Other lesion"
            named[kept] = (*named.get(kept, ()), *places)
    return named


def of_child(found: Marks) -> tuple[set[str], dict[str, Sequence[Place]]]:
    """Return the diseases and the local findings that VinDr-PCXR has for a film."""
    diseases: set[str] = set()
    local: dict[str, Sequence[Place]] = {}
    for name, places in found.items():
        disease, here = _CHILD_OF.get(name, ("Other disease", name))
        diseases.add(disease)
        if here:
            # a global finding has no place in VinDr-CXR; a reader of children marks one
            local[here] = places or ((10, 10, 40, 40),)
    return diseases or {"No finding"}, local


def child_labels(diseases: set[str], local: Marks) -> dict[str, int]:
    """Return the labels of a child's film: diseases and local findings, and No Finding."""
    both = {spelt(n): int(n in diseases) for n in CHILD} | {
        spelt(n): int(n in local) for n in CHILD_LOCAL
    }
    both["No Finding"] = int(not any(v for n, v in both.items() if n != "No Finding"))
    return both
