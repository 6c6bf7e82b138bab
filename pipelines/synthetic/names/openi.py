"""Makes the index terms and the XML of an Open-i (Indiana University) report.

Terms are those an indexer would give (`Pleural Effusion/left/small`) and those a program finds in
the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from xml.etree import ElementTree as ET

from cxr_vlp.pipelines.synthetic.cases.findings import Finding

_HEADS = {
    "Edema": "Pulmonary Edema",
    "Atelectasis": "Pulmonary Atelectasis",
    "Lung Opacity": "Opacity/lung",
    "Fracture": "Fractures, Bone",
    "Enlarged Cardiomediastinum": "Mediastinum/enlarged",
    "Pleural Other": "Thickening/pleura",
}
_DEVICES = {
    "ett": "Tube, Inserted/trachea",
    "line": "Catheters, Indwelling",
    "ng": "Tube, Inserted/stomach",
    "pacemaker": "Implanted Medical Device",
    "wires": "Surgical Instruments/sternum",
    "tube": "Tube, Inserted/pleura",
}
_SPREAD = {"upper": "upper lobe", "mid": "middle lobe", "lower": "lower lobe"}
_SIZE = {"mild": "small", "moderate": "", "severe": "large"}
_GRADED = frozenset(("Cardiomegaly", "Edema", "Enlarged Cardiomediastinum"))
_ORDER = ("comparison", "indication", "findings", "impression")


def major_terms(findings: Sequence[Finding], rng: Random) -> tuple[str, ...]:
    """Return the indexer's terms: head/place/side/size, or `normal`; 2.4 % are not indexed."""
    if rng.random() < 0.024:
        return ("No Indexing",)
    terms = [_major(finding) for finding in findings]
    if rng.random() < 0.02:
        terms.append(
            "Technical Quality of Image Unsatisfactory "
        )  # the real set has this trailing blank
    return tuple(terms) or ("normal",)


def _major(finding: Finding) -> str:
    head = _HEADS.get(finding.name, finding.name)
    if finding.name == "Support Devices":
        head = _DEVICES.get(finding.kind, "Implanted Medical Device")
    if finding.name == "Lung Lesion":
        head = f"{finding.kind.capitalize()}/lung"
    size = finding.severity if finding.name in _GRADED else _SIZE[finding.severity]
    place = _SPREAD.get(finding.zone, "") if finding.box else ""
    return "/".join(part for part in (head, place, finding.side, size) if part)


def automatic_terms(findings: Sequence[Finding], rng: Random) -> tuple[str, ...]:
    """Return the terms that a program finds in the text: mixed case, some in the plural."""
    terms = []
    for finding in findings:
        name = finding.kind if finding.name == "Lung Lesion" else finding.name
        if finding.name != "Support Devices":
            terms.append(name)
            if rng.random() < 0.4:
                lower = name.lower()
                terms.append(lower[:-2] + "es" if lower.endswith("is") else lower + "s")
    return tuple(terms)


def problems(majors: Iterable[str]) -> str:
    """Return Kaggle's column of that name: the head of each term, without repetition."""
    return ";".join(dict.fromkeys(term.split("/")[0] for term in majors))


def report_xml(
    uid: int,
    sections: Mapping[str, str],
    majors: Sequence[str],
    automatic: Sequence[str],
    images: Sequence[tuple[str, str]],
) -> bytes:
    """Return a report's XML; `images` are (id, caption). An empty section has no text node."""
    root = ET.Element("eCitation")
    ET.SubElement(root, "meta", type="rr")
    ET.SubElement(root, "uId", id=f"CXR{uid}")
    ET.SubElement(root, "pmcId", id=str(uid))
    ET.SubElement(root, "docSource").text = "CXR"
    ET.SubElement(root, "IUXRId", id=str(uid))
    # part of the bytes of every tree, so these words stay as they were first written
    ET.SubElement(root, "note").text = "Synthetic look-alike: nobody was examined."
    citation = ET.SubElement(root, "MedlineCitation", Owner="look-alike", Status="synthetic")
    abstract = ET.SubElement(ET.SubElement(citation, "Article"), "Abstract")
    for name in _ORDER:
        text = ET.SubElement(abstract, "AbstractText", Label=name.upper())
        text.text = sections.get(name) or None
    mesh = ET.SubElement(root, "MeSH")
    for kind, terms in (("major", majors), ("automatic", automatic)):
        for term in terms:
            ET.SubElement(mesh, kind).text = term
    for place, (name, caption) in enumerate(images, start=1):
        _add_image(root, name, caption, place)
    ET.indent(root, "   ")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "us-ascii") + b"\n"


def _add_image(root: ET.Element, name: str, caption: str, place: int) -> None:
    image = ET.SubElement(root, "parentImage", id=name)
    ET.SubElement(image, "figureId").text = f"F{place}"
    ET.SubElement(image, "caption").text = caption
    panel = ET.SubElement(image, "panel", type="single")
    ET.SubElement(panel, "url").text = f"/extract/{name}.jpg"
    ET.SubElement(panel, "imgModality").text = "7"
