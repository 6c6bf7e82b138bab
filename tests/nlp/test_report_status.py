"""Normality: what a normal report is, by either convention; and the measure of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_vlp.nlp import evaluate
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.report_status import is_normal

CASES = [  # findings, normal by "indexed", normal by "findings"
    ("No acute disease.", True, True),
    ("The lungs are clear. Views of the chest were obtained.", True, True),
    ("The heart is enlarged.", False, False),
    ("Possible nodule. The heart is normal.", False, False),
    ("Clear lungs. Sternotomy wires are intact.", False, True),
    ("Clear lungs. A PICC ends in the SVC.", False, True),
    ("Clear lungs. The PICC has been removed.", True, True),
    ("Clear lungs with a pacemaker in place.", False, True),
    ("The heart and lungs have XXXX in the interval. No active disease.", False, True),
    ("Comparison is XXXX. No active disease.", True, True),
    ("Vascular engorgement is within normal limits.", True, True),
]


@pytest.mark.parametrize(("findings", "indexed", "plain"), CASES, ids=[c[0][:40] for c in CASES])
def test_a_normal_report(findings: str, indexed: bool, plain: bool) -> None:
    read = annotate({"findings": findings}).sentences
    assert (is_normal(read, "indexed"), is_normal(read, "findings")) == (indexed, plain)


def test_a_report_without_a_sentence_is_not_called_normal() -> None:
    assert not annotate({}).normal
    assert not is_normal((), "findings")


def test_an_unknown_convention_stops() -> None:
    with pytest.raises(ValueError, match="indexed"):
        is_normal((), "strict")


@pytest.mark.parametrize(
    ("findings", "label"),
    [("Chest unremarkable.", 1), ("The heart is wobbly.", 0), ("Clear lungs. PICC in place.", 1),
     ("Views of the chest.", None)],
)  # fmt: skip
def test_no_finding_follows_the_statuses(findings: str, label: int | None) -> None:
    assert annotate({"findings": findings}).labels.get("No Finding") == label


TABLE = "filename,Edema,Effusion,Hernia,normal\na,1,0,0,0\nb,0,1,0,0\nc,0,0,0,1\nd,0,0,0,1\n"
REPORTS = {"a": "Mild edema.", "b": "Clear.", "c": "No edema.", "d": "Clear lungs. PICC in place."}


def written(folder: Path, reports: dict[str, str]) -> tuple[str, str]:
    table, lines = folder / "labels.csv", folder / "reports.jsonl"
    table.write_text(TABLE)
    lines.write_text("\n".join(json.dumps({"id": k, "text": f"FINDINGS: {t}"})
                               for k, t in reports.items()))  # fmt: skip
    return str(table), str(lines)


def test_a_table_of_labels_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, lines = written(tmp_path, REPORTS)
    assert evaluate.main([table, "--reports", lines, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["labels.csv"]
    assert found["reports"] == 4
    assert (found["labels_precision"], found["labels_recall"]) == (1, 0.5)
    assert (found["Edema f1"], found["Pleural Effusion f1"]) == (1, 0)
    assert "Hernia f1" not in found
    assert found["normal_report_recall"] == 0.5  # a PICC is coded
    assert evaluate.main([table, "--reports", lines, "--json", "--normal", "findings"]) == 0
    found = json.loads(capsys.readouterr().out)["labels.csv"]
    assert found["normal_report_recall"] == 1


def test_a_table_without_its_reports_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, lines = written(tmp_path, {"a": "Mild edema."})
    assert evaluate.main([table, "--reports", lines]) == 2
    assert "3 of 4 reports of labels.csv are not in --reports" in capsys.readouterr().err
