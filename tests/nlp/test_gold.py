"""Gold: the measured targets, on the labelled sets in the shared folder."""

from __future__ import annotations

import json
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import scoring

from cxr_vlp.nlp import evaluate
from cxr_vlp.nlp.annotate import Annotation, annotate

GOLD = Path(__file__).with_name("gold")


@pytest.mark.parametrize(
    ("name", "floor"),
    [("dev_sentences", 0.98), ("dev_hard_sentences", 0.95), ("pitfall_sentences", 1.0)],
)
def test_sentences(shared: Path, name: str, floor: float) -> None:
    measures = evaluate.measure_sentences(list(evaluate.read(shared / "gold" / f"{name}.tsv")))
    assert measures["accuracy"] >= floor
    assert measures["normal_precision"] >= 0.99
    assert measures["normal_recall"] >= 0.98
    assert measures["lost"] == 0


def reports(shared: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with tarfile.open(shared / "data" / "openi" / "NLMCXR_reports.tgz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".xml"):
                root = ET.fromstring(file.read())
                uid = root.find("uId")
                parts = {
                    str(a.get("Label")).lower(): a.text or "" for a in root.iter("AbstractText")
                }
                yield str(uid.get("id") if uid is not None else ""), parts


@pytest.fixture(scope="module")
def annotated(shared: Path) -> dict[str, Annotation]:
    return {key: annotate(parts) for key, parts in reports(shared)}


def test_every_real_report_is_annotated(annotated: dict[str, Annotation]) -> None:
    assert len(annotated) == 3955  # how fast is benchmarks/text_speed.py's to say
    assert sum(bool(a.code) for a in annotated.values()) == 28


def test_labels_and_normal_reports(shared: Path, tmp_path: Path) -> None:
    given = tmp_path / "reports.jsonl"
    lines = (json.dumps({"id": key, "sections": parts}) for key, parts in reports(shared))
    given.write_text("\n".join(lines), encoding="utf-8")
    table = shared / "gold" / "negbio_openi" / "openi_labels_dev.csv"
    indexed = evaluate.measure_reports(table, [given], "indexed")
    assert indexed["reports"] == 3080
    assert indexed["labels_f1"] >= 0.86
    assert indexed["normal_report_f1"] >= 0.94
    assert "Hernia f1" not in indexed, "no report has it: the column is empty"
    findings = evaluate.measure_reports(table, [given], "findings")
    assert findings["normal_report_f1"] < indexed["normal_report_f1"]


@pytest.mark.parametrize(
    ("name", "floors"),
    [
        ("change", {"mention_accuracy": 0.94, "sentence_accuracy": 0.90}),
        ("devices", {"whole": 0.99, "status_accuracy": 0.98, "sentence_accuracy": 0.97}),
        (
            "prior_free",
            {"text_accuracy": 0.90, "reports_clean": 0.97, "reports_faithful": 0.92},
        ),
        ("inputs", {"right": 0.97}),
        ("inputs_2", {"right": 0.97}),
    ],
)
def test_own_labelled_sets(name: str, floors: dict[str, float]) -> None:
    measures, wrong = scoring.score(scoring.rows_of(GOLD / f"{name}.jsonl"))
    low = {key: measures[key] for key, floor in floors.items() if measures[key] < floor}
    assert not low, wrong


def test_inputs_that_were_once_wrong(shared: Path) -> None:
    measures, wrong = scoring.score(scoring.rows_of(shared / "gold" / "report_faults.jsonl"))
    assert measures["inputs"] == 74
    assert not wrong
