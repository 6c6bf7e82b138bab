"""The synthetic Open-i: reports, names and irregularities are those of the collection."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from xml.etree import ElementTree as ET

from layouts import first_line, table, truth


def openi_reports(root: Path) -> dict[str, ET.Element]:
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        members = {m.name: archive.extractfile(m) for m in archive if m.isfile()}
        return {name: ET.fromstring(file.read()) for name, file in members.items() if file}


def test_openi_reports(out: Path):
    reports = openi_reports(out / "openi")
    assert set(reports) == {f"ecgen-radiology/{n}.xml" for n in range(1, 31)}
    for name, root in reports.items():
        assert root.find("uId").get("id") == f"CXR{Path(name).stem}"
        labels = [text.get("Label") for text in root.iter("AbstractText")]
        assert labels == ["COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"]
        assert list(root.iter("major"))


def test_openi_images_are_those_of_the_reports(out: Path):
    reports = openi_reports(out / "openi")
    named = [{i.get("id") for i in root.iter("parentImage")} for root in reports.values()]
    found = {path.stem for path in (out / "openi" / "NLMCXR_png").iterdir()}
    assert set.union(*named) == found
    assert {len(names) for names in named} >= {0, 1, 2, 3}


def test_openi_has_the_known_irregularities(out: Path):
    reports = openi_reports(out / "openi")
    first = reports["ecgen-radiology/1.xml"]
    assert all(i.get("id").startswith("CXR1_1_IM-0001-") for i in first.iter("parentImage"))

    def filled(number: int) -> set[str]:
        texts = reports[f"ecgen-radiology/{number}.xml"].iter("AbstractText")
        return {t.get("Label") for t in texts if t.text} & {"FINDINGS", "IMPRESSION"}

    assert "FINDINGS" not in filled(4)
    assert filled(9) == set()
    assert "IMPRESSION" not in filled(11)


def test_openi_truth_has_only_sentences_of_the_report(out: Path):
    lines = {line["study"]: line for line in truth(out, "openi")}
    assert all(s["section"] != "findings" for s in lines["CXR4"]["sentences"])
    assert lines["CXR9"]["sentences"] == []


def test_openi_reports_hold_the_sentences_of_the_truth(out: Path):
    reports = openi_reports(out / "openi")
    for line in truth(out, "openi"):
        root = reports[f"ecgen-radiology/{line['study'][3:]}.xml"]
        texts = {t.get("Label").lower(): t.text or "" for t in root.iter("AbstractText")}
        assert all(s["text"] in texts[s["section"]] for s in line["sentences"])


def test_openi_as_xml_files(variant, out: Path):
    root = variant("openi", reports="xml")
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.xml")}
    with tarfile.open(out / "openi" / "NLMCXR_reports.tgz") as archive:
        packed = {m.name: archive.extractfile(m).read() for m in archive}
    assert files == packed


def test_openi_kaggle(variant):
    root = variant("openi", kaggle=True)
    reports, shown = table(root / "indiana_reports.csv"), table(root / "indiana_projections.csv")
    assert first_line(root / "indiana_reports.csv") == (
        "uid,MeSH,Problems,image,indication,comparison,findings,impression"
    )
    assert {row["projection"] for row in shown} == {"Frontal", "Lateral"}
    assert {row["uid"] for row in reports} == {row["uid"] for row in shown}  # none without image
    files = {p.name for p in (root / "images" / "images_normalized").iterdir()}
    assert files == {row["filename"] for row in shown}
    assert all(re.fullmatch(r"\d+_IM-\d{4}-\d{4}(-\d{4})?\.dcm\.png", name) for name in files)
    heads = {row["uid"]: row["MeSH"].split("/")[0].split(";")[0] for row in reports}
    assert all(row["Problems"].startswith(heads[row["uid"]]) for row in reports)
