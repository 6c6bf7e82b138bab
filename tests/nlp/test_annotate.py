"""Annotate: a whole report at once, the two commands."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import cli, evaluate
from cxr_vlp.nlp.annotate import annotate, described, filter_report

RAW = (
    " INDICATION:  Evaluate for pneumothorax.\n \n FINDINGS:  The heart is normal in size.  Small\n"
    " left pleural effusion.\n \n IMPRESSION:\n \n 1. Small left effusion.\n"
    " 2. Possible pneumonia.\n"
)


def test_raw_report() -> None:
    found = annotate(RAW)
    assert found.findings == "The heart is normal in size. Small left pleural effusion."
    assert found.abnormal == "Small left pleural effusion. Small left effusion. Possible pneumonia."
    assert [s.status for s in found.sentences] == ["normal", "abnormal", "abnormal", "uncertain"]
    assert [(s.section, s.index) for s in found.sentences][1:3] == [
        ("findings", 1),
        ("impression", 0),
    ]
    assert found.labels == {
        "Cardiomegaly": 0,
        "No Finding": 0,
        "Pleural Effusion": 1,
        "Pneumonia": -1,
    }
    assert "Pneumothorax" not in found.labels, "the indication leaked into the findings"
    assert found.statements[1] == "There is a small left pleural effusion."
    assert found.statement_sentences[1] == 1
    assert found.code == ""


def test_sections_already_cut() -> None:
    found = annotate({"findings": "Clear lungs.", "impression": "", "indication": "Edema?"})
    assert (found.abnormal, found.filtered.fallback) == ("", "normal_report")
    assert found.labels["No Finding"] == 1


def test_a_report_is_filtered_and_every_sentence_has_its_reason() -> None:
    found = filter_report(RAW)
    assert [(d.reason, d.kept) for d in found.decisions] == [
        ("drop:normal", ""),
        ("keep:abnormal", "Small left pleural effusion."),
        ("keep:abnormal", "Small left effusion."),
        ("keep:uncertain", "Possible pneumonia."),
    ]
    assert found.dropped == ("The heart is normal in size.",)


def test_what_describes_an_image_falls_back_in_order() -> None:
    assert described(annotate(RAW))[1] == "filter"
    assert described(annotate({"impression": "No edema."})) == ("No edema.", "impression")
    normal = annotate({"findings": "No edema."})
    assert described(normal) == ("There is no pulmonary edema.", "statements")
    assert described(annotate({}), ("Edema.",)) == ("Edema.", "prompt")
    assert described(annotate({})) == ("", "")


def test_a_report_nested_in_a_section() -> None:
    nested = "IMPRESSION: Exam: CHEST History: pneumonia FINDINGS: Mild edema. IMPRESSION: Edema."
    found = annotate({"findings": "", "impression": nested})
    assert (found.findings, found.impression) == ("Mild edema.", "Edema.")
    assert "Pneumonia" not in found.labels


@pytest.mark.parametrize(
    ("report", "code"),
    [("", "report.empty"), ({}, "report.empty"), ({"findings": " "}, "report.empty"),
     ("INDICATION: Cough.", "report.no_text"), ({"indication": "Cough."}, "report.no_text")],
)  # fmt: skip
def test_code(report: str | dict[str, str], code: str) -> None:
    found = annotate(report)
    assert (found.code, found.sentences, found.labels) == (code, (), {})


@given(st.text(max_size=200))
def test_any_text_is_annotated(text: str) -> None:
    found = annotate(text)
    assert bool(found.code) != bool(found.sentences)
    for sentence in found.sentences:
        for mention in sentence.mentions:
            assert sentence.text[mention.start : mention.end]


def run(monkeypatch: pytest.MonkeyPatch, given: str, *flags: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    return cli.main(flags)


def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": 1, "text": RAW},
        {"id": 2, "sentence": "No edema."},
        {"id": 3, "sections": {"findings": "Edema."}},
    ]
    assert run(monkeypatch, "\n".join(map(json.dumps, rows)) + "\n\n", "--source", "mimic") == 0
    out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["id"] for r in out] == [1, 2, 3]
    assert {r["source"] for r in out} == {"mimic"}
    assert out[0]["statements"][1] == {
        "text": "There is a small left pleural effusion.",
        "sentence": 1,
    }
    assert out[1]["status"] == "normal"
    assert out[2]["labels"]["Edema"] == 1


def test_command_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, json.dumps({"id": "r1", "text": RAW}), "--pretty") == 0
    shown = capsys.readouterr().out
    assert "uncertain  finding.hedged" in shown
    assert "Possible pneumonia." in shown
    assert "pneumonia: uncertain (possible)" in shown


def test_an_unreadable_line_is_named_by_its_number_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, 'secret text\n{"id": 2, "sentence": "Edema."}\n') == 65
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {"line": 1, "code": "line.unreadable"}
    assert json.loads(second)["status"] == "abnormal"


def test_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tsv = tmp_path / "gold.tsv"
    tsv.write_text("label\tsentence\nnormal\tNo edema.\nabnormal\tNo mass.\n")
    truth = tmp_path / "a.truth.jsonl"
    truth.write_text(
        json.dumps({"sentences": [{"text": "Edema.", "section": "findings", "status": "abnormal"}]})
    )
    traps = tmp_path / "traps.json"
    traps.write_text(
        json.dumps(
            [
                {"text": "A. B.", "expect": ["wrong"]},
                {"text": "FINDINGS: x", "expect": {"findings": "x"}},
            ]
        )
    )
    assert evaluate.main([str(tsv), str(truth), str(traps), "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    assert measures["gold.tsv"] == {
        "accuracy": 0.5,
        "cases": 2,
        "lost": 1,
        "normal_precision": 0.5,
        "normal_recall": 1.0,
    }
    assert measures["a.truth.jsonl"]["accuracy"] == 1
    assert measures["traps.json"]["accuracy"] == 0.5
    assert evaluate.main([str(tsv), "--errors"]) == 0
    assert "abnormal -> normal (finding.denied) No mass." in capsys.readouterr().out
    assert evaluate.main([str(tmp_path / "none.tsv")]) == 2


def test_the_engine_starts_without_spacy_torch_or_beam() -> None:
    code = (
        "import sys, cxr_vlp.nlp.annotate; cxr_vlp.nlp.annotate.annotate('FINDINGS: Clear.');"
        "sys.exit(any(m in sys.modules for m in ('torch', 'apache_beam', 'spacy', 'scispacy')))"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
