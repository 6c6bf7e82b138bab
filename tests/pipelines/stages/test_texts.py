"""Texts: the user's own files and model, the filter's policy, the counts, golden bytes."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import spacy
import stages
import yaml
from stages import params, samples

from cxr_vlp.nlp import lexicon, spacy_backend
from cxr_vlp.pipelines import texts
from cxr_vlp.pipelines.config import Filter, Texts, build
from cxr_vlp.pipelines.errors import ConfigError, EngineError, IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import fingerprints, versions
from cxr_vlp.pipelines.records import Image, ReportRef, Study
from cxr_vlp.pipelines.sources.base import RawReport, Report
from cxr_vlp.pipelines.stages import text_resources, text_stats
from cxr_vlp.pipelines.stages.text_part import TextBuilder

REPORT = (
    "INDICATION: Cough.\n\nFINDINGS: The heart has a normal size. A small left pleural effusion is "
    "there.\nA line ends in the SVC.\n\nIMPRESSION: Small effusion, no pneumothorax.\n"
)
QUIET = "FINDINGS: The heart has a normal size.\n\nIMPRESSION: No edema.\n"
BANK = {
    "frames": {"positive": ["Seen: {x}."], "negative": ["Absent: {x}."], "uncertain": ["{x}?"]},
    "names": {"Edema": ["wet lungs"]},
    "no_finding": {"positive": ["All well."], "negative": ["Not well."], "uncertain": ["Well?"]},
}


@dataclass(frozen=True)
class OneReport:
    """A collection of one report."""

    text: Report
    name: ClassVar[str] = "mimic"
    has_reports: ClassVar[bool] = True

    def report(self, root: Path, ref: ReportRef) -> RawReport:
        return RawReport(self.text, ref.sha256)


def study(labels: dict[str, int] | None = None) -> Study:
    fields: dict[str, Any] = {
        "source": "mimic", "key": "s1", "patient": "p", "split": "train", "images": (),
        "report": ReportRef("r.txt", sha256="0" * 64), "labels": labels or {},
    }  # fmt: skip
    return Study(**fields)


def row(settings: Texts, report: Report = REPORT, labels: dict[str, int] | None = None) -> Any:
    part = TextBuilder(OneReport(report), "", "", settings, text_resources.load(settings))  # type: ignore[arg-type]
    return part.study(study(labels), Counter())


def print_of(settings: Texts) -> str:
    return row(settings)["text_fingerprint"]


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({}, "A small left pleural effusion is there. A line ends in the SVC. Small effusion."),
        ({"keep_devices": False}, "A small left pleural effusion is there. Small effusion."),
        ({"cut_mixed": False}, "A small left pleural effusion is there. A line ends in the SVC. "
         "Small effusion, no pneumothorax."),
        ({"drop_normal": False}, "The heart has a normal size. A small left pleural effusion "
         "is there. A line ends in the SVC. Small effusion."),
    ],
)  # fmt: skip
def test_the_policy_of_the_filter_is_a_parameter(chosen, wanted):
    found = row(build(Texts, {"filter": chosen}, "texts"))
    assert (found["abnormal"], found["abnormal_from"]) == (wanted, "filter")


def test_a_report_without_abnormal_sentences_has_none_unless_a_fallback_is_chosen():
    chain = Texts(filter=Filter(fallback=("impression", "statements", "prompt")))
    sick, well = {"Pneumonia": 1}, {"No Finding": 1, "Edema": 0, "Support Devices": 1}
    assert row(Texts(), QUIET, sick)["abnormal"] == ""
    assert row(chain, QUIET, well)["abnormal"] == ""  # neither labels nor report are abnormal
    found = row(chain, QUIET, sick)
    assert (found["abnormal"], found["abnormal_from"]) == ("No edema.", "impression")
    found = row(replace(chain, filter=Filter(fallback=("prompt",))), QUIET, sick)
    assert found["abnormal"] == found["prompt"] != ""


def test_a_report_in_another_language_has_a_code_and_its_study_what_its_labels_give():
    foreign = "Cardiomegalia. Derrame pleural izquierdo. No se observa neumotorax."
    found = row(Texts(), foreign, {"Cardiomegaly": 1})
    assert (found["findings"], found["sentences"], found["statements"]) == ("", [], [])
    assert found["prompts"]
    with pytest.raises(IngestError, match=r"report\.language"):
        row(Texts(), foreign)


def test_a_users_bank_makes_the_prompts_and_its_content_is_hashed(tmp_path):
    file = tmp_path / "bank.yaml"
    file.write_text(yaml.safe_dump(BANK))
    settings = Texts(bank=str(file), negatives=0)
    found = row(settings, labels={"Edema": 1})
    assert set(found["prompts"]) == {"Seen: wet lungs."}
    moved = tmp_path / "elsewhere.yaml"
    moved.write_bytes(file.read_bytes())
    assert print_of(replace(settings, bank=str(moved))) == print_of(settings)
    moved.write_text(yaml.safe_dump(BANK | {"names": {"Edema": ["wet lung"]}}))
    assert print_of(replace(settings, bank=str(moved))) != print_of(settings)


def test_a_users_exceptions_change_only_the_study_that_they_name(tmp_path):
    file = tmp_path / "exceptions.yaml"
    start = REPORT.index("A line")
    file.write_text(f"s1: {{section: impression, start: {start}, end: {start + 23}}}\n")
    settings = Texts(exceptions=str(file))
    found = row(settings)
    assert (found["findings"], found["impression"]) == ("", "A line ends in the SVC.")
    assert found["text_fingerprint"] != print_of(Texts())
    file.write_text("s2: {section: impression}\n")
    assert print_of(settings) == print_of(Texts())


def model(folder: Path, word: str) -> str:
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ENTITY", "pattern": word}])
    pipeline.to_disk(folder)
    return str(folder)


def test_a_model_extends_the_lexicon_and_its_content_is_hashed(tmp_path):
    report = "FINDINGS: There is a blorb.\n"
    assert row(Texts(), report)["abnormal"] == ""
    settings = Texts(model=model(tmp_path / "a", "blorb"))
    assert row(settings, report)["abnormal"] == "There is a blorb."
    twin = replace(settings, model=model(tmp_path / "b", "blorb"))
    other = replace(settings, model=model(tmp_path / "c", "frobb"))
    assert print_of(twin) == print_of(settings)
    assert len({print_of(s) for s in (settings, other, Texts())}) == 3


def test_a_worker_whose_model_is_another_or_absent_makes_no_text(tmp_path):
    settings = Texts(model=model(tmp_path / "a", "blorb"))
    resources = text_resources.load(settings)
    same = replace(settings, model=model(tmp_path / "b", "blorb"))
    text_resources.check_worker(same, resources)
    other = replace(settings, model=model(tmp_path / "c", "frobb"))
    with pytest.raises(EngineError, match=r"worker\.differs: .*spacy \d.* install the same"):
        TextBuilder(OneReport(REPORT), "", "", other, resources).build(None, tmp_path, None, None)
    absent = replace(settings, model=str(tmp_path / "none"))
    with pytest.raises(EngineError, match=r"worker\.differs: a worker says: spaCy model"):
        text_resources.check_worker(absent, resources)


def test_without_a_model_spacy_has_no_effect(tmp_path, monkeypatch):
    plain, chosen = Texts(), Texts(model=model(tmp_path / "a", "blorb"))
    before = print_of(plain), print_of(chosen)
    assert text_resources.load(plain).toolchain == {}
    assert set(text_resources.load(chosen).toolchain) == {"spacy", "scispacy", "model"}
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0")
    spacy_backend.identity.cache_clear()
    after = print_of(plain), print_of(chosen)
    spacy_backend.identity.cache_clear()
    assert after[0] == before[0]
    assert after[1] != before[1]


def bank(**change: Any) -> str:
    return yaml.safe_dump(BANK | change)


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("exceptions", None, "no file at"),
        ("exceptions", "s1: {colour: red}", "only section, start and end"),
        ("exceptions", "s1: {start: 9, end: 3}", "start first"),
        ("exceptions", "[1, 2]", "one line for each study"),
        ("exceptions", "s1: {", "not YAML"),
        ("bank", None, "no file at"),
        ("bank", bank(frames=[]), "lacks frames"),
        ("bank", bank(names={"Edema": [" "]}), "none of them empty"),
        ("bank", bank(frames={"positive": ["{x}."]}), "also needs negative, uncertain"),
        ("bank", bank(frames={**BANK["frames"], "positive": ["Seen."]}), "place of the finding"),
        ("bank", bank(products={"Edema": {"severity": ["mild"]}}), "subtype and location"),
        ("bank", bank(products={"Edema": ["mild"]}), "lacks Edema"),
        ("bank", "}", "not YAML"),
    ],
)
def test_an_unusable_file_stops_the_run_with_the_remedy(tmp_path, key, content, said):
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=said):
        text_resources.load(Texts(**{key: str(file)}))


def test_a_model_that_is_not_installed_stops_the_run_with_the_remedy():
    with pytest.raises(ConfigError, match=r"leave texts\.model empty"):
        text_resources.load(Texts(model="en_no_such_model"))


@pytest.mark.parametrize("chosen", [{"drop_all": True}, {"fallback": ["guess"]}])
def test_a_misspelt_policy_stops_the_run(chosen):
    with pytest.raises(ConfigError, match=r"texts\.filter"):
        build(Texts, {"filter": chosen}, "texts")


def test_counts_add_up_to_the_rows_and_hold_no_text(built):
    folder = built / "texts" / "mimic"
    rows = [r for p in folder.glob("mimic-*.jsonl") for r in jsonl.read_records(p)]
    counts = jsonl.read_json(folder / "counts.json")
    assert counts["studies"] == len(rows)
    statuses = Counter(s["status"] for r in rows for s in r["sentences"])
    assert {k: n for k, n in counts["sentences"].items() if n} == statuses
    assert counts["sections"]["impression"] == sum("impression" in r["sections"] for r in rows)
    labelled = sum(n for label in counts["labels"].values() for n in label.values())
    assert labelled == sum(len(r["labels"]) for r in rows) > 0
    assert counts["abnormal_from"] == {"filter": sum(bool(r["abnormal"]) for r in rows)}
    with (folder / "statuses.csv").open() as file:
        table = list(csv.DictReader(file))
    assert {r["status"]: int(r["sentences"]) for r in table} == counts["sentences"]
    assert sum(float(r["percent"]) for r in table) == pytest.approx(100, abs=0.1)
    said = json.dumps(counts) + (folder / "texts.json").read_text()
    assert not any(s["text"] in said for r in rows for s in r["sentences"])


def test_rejects_are_counted_by_code():
    counts = text_stats.counts({}, [{"code": "text.none"}, {"code": "text.none"}])
    assert counts["rejects"] == {"text.none": 2}


def test_the_stage_uses_the_users_files_and_its_header_has_no_path(raw, built, tmp_path):
    file = tmp_path / "bank.yaml"
    file.write_text(bank())
    chosen = str(params(tmp_path, texts={"bank": str(file)}))
    common = ["nih", "--root", str(raw / "nih"), "--params", chosen, "--workers", "1"]
    common += ["--state", str(tmp_path / ".cxr")]  # never the project's own
    out = tmp_path / "texts" / "nih"
    assert texts.main([*common, "--scan", str(built / "scan" / "nih"), "--out", str(out)]) == 0
    rows = [r for p in out.glob("nih-*.jsonl") for r in jsonl.read_records(p)]
    assert any("Absent: " in r["prompt"] for r in rows)
    header = jsonl.read_json(out / "texts.json")
    assert header["wording"] != lexicon.digest()
    assert header["toolchain"] == {}
    assert str(tmp_path) not in json.dumps(header)


def test_shards_hold_the_filters_text(built):
    kept = [s["abnormal"] for _, s in samples(built / "shards" / "mimic")]
    assert any(kept)
    assert not all(kept)


def test_golden_texts():
    """The bytes of the texts of a study. If they change and the lexicon did not, raise TEXTS."""
    found = row(Texts(), labels={"Pleural Effusion": 1, "Edema": -1, "Pneumonia": 0})
    found.pop("text_fingerprint")
    assert (versions.TEXTS, fingerprints.of(found)[:16]) == (5, "df9d9b944061c9dd")


def test_an_exception_that_names_no_report_is_noted(raw, tmp_path):
    file = tmp_path / "exceptions.yaml"
    file.write_text("s99999999: {section: impression}\n")
    stages.build(raw / "openi", "openi", tmp_path, texts={"exceptions": str(file)})
    counts = jsonl.read_json(tmp_path / "texts/openi/counts.json")
    assert counts["notes"]["exceptions.unused"] == 1
    assert "report.cut_by_rule" not in counts["notes"]


def test_a_mention_at_the_start_of_its_sentence_has_a_start():
    sentence = row(Texts(), "FINDINGS: Edema is seen.\n")["sentences"][0]
    assert [(m["finding"], m["start"], m["end"]) for m in sentence["mentions"]] == [
        ("pulmonary edema", 0, 5)
    ]


def test_contradicting_labels_are_counted_and_the_positive_label_is_used():
    part = TextBuilder(OneReport(REPORT), "", "", Texts(), text_resources.load(Texts()))  # type: ignore[arg-type]
    counts: Counter[str] = Counter()
    found = part.study(study({"Pneumonia": 1, "Lung Opacity": 0}), counts)
    assert counts["note:labels.contradict"] == 1
    assert all("opacity" not in text.lower() for text in found["prompts"])
    part.study(study({"Pneumonia": 0, "Lung Opacity": 1}), counts)
    assert counts["note:labels.contradict"] == 1


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_unicode_line_separators_do_not_end_a_record(tmp_path, odd):
    """A folder may be named with one, and JSON holds those above ASCII as they are."""
    report = ReportRef(f"a{odd}b/r.txt", sha256="0" * 64)
    one = replace(study(), report=report, images=(Image("0", f"a{odd}b/0.dcm", "0" * 64),))
    jsonl.write_records(tmp_path / "mimic-train-00000.jsonl", [one])
    part = TextBuilder(OneReport(REPORT), "", str(tmp_path), Texts(), text_resources.load(Texts()))  # type: ignore[arg-type]
    loaded = part.load("mimic-train-00000")
    made = part.build(loaded, tmp_path / "texts.jsonl", None, WorkerState(tmp_path / "record"))  # type: ignore[arg-type]
    assert made.result["counts"]["studies"] == 1
    assert len(list(jsonl.read_records(tmp_path / "texts.jsonl"))) == 1
