"""Says findings in the words of PadChest: terms of its label tree, and Spanish reports as stems.

PadChest and BIMCV-COVID19+ share the vocabulary; only the latter has COVID-19 and whole words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study

# finding, or finding/kind: (the term, the label that it must become, words of the report)
Term = tuple[str, str, str]
_TERMS: Mapping[str, Term] = {
    "Cardiomegaly": ("cardiomegaly", "Cardiomegaly", "cardiomegalia"),
    "Pleural Effusion": ("pleural effusion", "Pleural Effusion", "derrame pleural"),
    "Pneumothorax": ("pneumothorax", "Pneumothorax", "neumotorax"),
    "Pneumonia": ("pneumonia", "Pneumonia", "infiltrado compatible con neumonia"),
    "Consolidation": ("consolidation", "Consolidation", "condensacion pulmonar"),
    "Edema": ("pulmonary edema", "Edema", "signos de edema pulmonar"),
    "Lung Opacity": ("infiltrates", "Infiltration", "infiltrado pulmonar"),
    "Atelectasis": ("atelectasis", "Atelectasis", "atelectasia"),
    "Atelectasis/plate": ("laminar atelectasis", "Laminar Atelectasis", "atelectasia laminar"),
    "Lung Lesion/nodule": ("nodule", "Nodule", "nodulo pulmonar"),
    "Lung Lesion/mass": ("pulmonary mass", "Mass", "masa pulmonar"),
    "Fracture/ribs": ("rib fracture", "Rib Fracture", "fractura costal"),
    "Fracture/clavicle": ("clavicle fracture", "Clavicle Fracture", "fractura de clavicula"),
    "Pleural Other": ("pleural thickening", "Pleural Thickening", "engrosamiento pleural"),
    "Enlarged Cardiomediastinum": (
        "mediastinal enlargement", "Enlarged Cardiomediastinum", "ensanchamiento mediastinico",
    ),
    "Support Devices/ett": ("endotracheal tube", "Endotracheal Tube", "tubo endotraqueal"),
    "Support Devices/line": (
        "central venous catheter via jugular vein", "Central Venous Catheter Via Jugular Vein",
        "cateter venoso central yugular",
    ),
    "Support Devices/ng": ("NSG tube", "Nasogastric Tube", "sonda nasogastrica"),
    "Support Devices/pacemaker": ("pacemaker", "Pacemaker", "marcapasos"),
    "Support Devices/wires": ("sternotomy", "Sternotomy", "sutura de esternotomia"),
    "Support Devices/tube": ("chest drain tube", "Chest Drain Tube", "tubo de drenaje toracico"),
}  # fmt: skip
_SIDES = {"left": "izquierdo", "right": "derecho", "bilateral": "bilateral", "": ""}
_NORMAL = "sin hallazgos patologicos significativos"
_STEM = 7  # letters: an ending longer than the published stems leave is cut


def terms_of(study: Study) -> list[Term]:
    """Return the terms of a study, each once; that of a normal one where it has no finding."""
    found = [_term(finding) for finding in study.findings]
    return list(dict.fromkeys(found)) or [("normal", "No Finding", _NORMAL)]


def _term(finding: Finding) -> Term:
    part = finding.zone if finding.name == "Fracture" else finding.kind
    return _TERMS.get(f"{finding.name}/{part}") or _TERMS[finding.name]


def python_list(names: Sequence[str], rng: Random) -> str:
    """Return a Python list as text, some names with a leading blank or in capitals, as published.

    Not every entry is spelt alike: ` pneumonia` and `Pneumonia` stand beside `pneumonia`.
    """
    spelt = [rng.choice(("", "", " ")) + name for name in names]
    if spelt and rng.random() < 0.2:
        spelt[0] = spelt[0].capitalize() if not spelt[0].strip()[0].isupper() else spelt[0]
    return repr(spelt)


def spanish(study: Study) -> str:
    """Return a report in Spanish, as a radiologist writes it."""
    found = [(_term(f)[2], _SIDES[f.side]) for f in study.findings]
    said = [" ".join(filter(None, pair)) for pair in dict.fromkeys(found)] or [_NORMAL]
    lines = [text[0].upper() + text[1:] for text in (*said, "Silueta cardiaca y senos libres")]
    return ". ".join(lines) + "."


def stemmed(study: Study) -> str:
    """Return the report as PadChest publishes it: lower case, stems, sentences ended by ` . `."""
    sentences = spanish(study).lower().rstrip(".").split(". ")
    stems = [" ".join(_stem(word) for word in text.split()) for text in sentences]
    return " . ".join(stems) + " ."


def _stem(word: str) -> str:
    bare = word.rstrip("aeios") if len(word) > 4 else word
    return bare if len(bare) > 3 else word[:_STEM]
