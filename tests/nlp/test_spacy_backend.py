"""Models: what a spaCy or scispaCy pipeline adds, what it needs, and that it decides nothing else.

No model can be downloaded for a test, so each builds a small pipeline, saves it and loads it by its
path, as a user's `texts.model` may.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cxr_vlp.nlp import cli, spacy_backend
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.status import classify

spacy = pytest.importorskip("spacy")
pytest.importorskip("scispacy.abbreviation")


def saved(folder: Path, label: str = "ENTITY", **meta: str) -> str:
    """Save a pipeline that finds the word "blorb" and detects abbreviations; return its path."""
    pipeline = spacy.blank("en", meta=meta)
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": "blorb"}])
    pipeline.add_pipe("abbreviation_detector")
    pipeline.to_disk(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("model") / "m")


@pytest.mark.parametrize(
    ("sentence", "status", "rule"),
    [
        ("There is a blorb.", "abnormal", "model.present"),
        ("There is no blorb.", "normal", "model.denied"),
        ("Possible blorb.", "uncertain", "model.hedged"),
        ("No edema.", "normal", "finding.denied"),
        ("Thank you.", "nonfinding", "nothing.known"),
    ],
)
def test_a_model_is_used_where_the_rules_are_unsure(
    model: str, sentence: str, status: str, rule: str
) -> None:
    (found,) = annotate({"findings": sentence}, model=model).sentences
    assert (found.status, found.rule) == (status, rule)
    assert cli.sentence_row(sentence, model)["rule"] == rule


def test_what_a_model_finds_reaches_the_filters_text(model: str) -> None:
    assert annotate({"findings": "There is a blorb."}, model=model).abnormal == "There is a blorb."
    assert annotate({"findings": "There is a blorb."}).abnormal == ""


def test_an_entity_that_names_no_finding_is_ignored(tmp_path: Path) -> None:
    name = saved(tmp_path / "m", label="DATE")
    (found,) = annotate({"findings": "There is a blorb."}, model=name).sentences
    assert found.rule == "nothing.known"


REPORT = (
    "FINDINGS: There is a right upper lobe consolidation (RULC). The RULC has grown. "
    "No other RULC. IMPRESSION: RULC, see above."
)


def test_an_abbreviation_is_read_with_the_long_form_that_the_report_gives(model: str) -> None:
    found = annotate(REPORT, model=model)
    assert [(s.status, s.rule) for s in found.sentences] == [
        ("abnormal", "finding.present"),
        ("abnormal", "model.abbreviation"),
        ("normal", "model.abbreviation"),
        ("abnormal", "model.abbreviation"),
    ]
    for sentence in found.sentences[1:]:
        (mention,) = sentence.mentions
        assert sentence.text[mention.start : mention.end] == "RULC"
        assert (mention.finding, mention.label) == ("consolidation", "Consolidation")
    assert found.abnormal.endswith("The RULC has grown. RULC, see above.")
    without = annotate(REPORT)
    assert [s.rule for s in without.sentences[1:3]] != ["model.abbreviation"] * 2


def test_an_abbreviation_counts_in_its_own_report_only(model: str) -> None:
    annotate(REPORT, model=model)
    (found,) = annotate({"findings": "The RULC has grown."}, model=model).sentences
    assert found.rule != "model.abbreviation"


def test_a_model_is_not_used_where_the_rules_decide(model: str) -> None:
    known = classify("No edema.")
    assert spacy_backend.second_look("No edema.", known, model) is known


def test_the_toolchain_has_versions_and_no_path(tmp_path: Path) -> None:
    name = saved(tmp_path / "m", name="sci_mine", version="1.2.3")
    assert spacy_backend.toolchain("") == {}
    assert spacy_backend.toolchain(name) == {
        "spacy": importlib.metadata.version("spacy"),
        "scispacy": importlib.metadata.version("scispacy"),
        "model": "en_sci_mine 1.2.3",
    }


def test_an_identity_changes_with_the_model_and_with_the_toolchain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, twin = saved(tmp_path / "a"), saved(tmp_path / "b")
    other = saved(tmp_path / "c", label="DISEASE")
    before = spacy_backend.identity(one)
    assert spacy_backend.identity(twin) == before
    assert spacy_backend.identity(other) != before
    spacy_backend.identity.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0")
    assert spacy_backend.identity(one) != before
    spacy_backend.identity.cache_clear()


def test_a_model_that_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(spacy_backend.ModelError, match=r"not installed.*leave texts\.model empty"):
        annotate({"findings": "There is a blorb."}, model="en_no_such_model")


def test_a_pipeline_with_an_unknown_component_says_what_to_do(model: str, tmp_path: Path) -> None:
    name = saved(tmp_path / "m")
    config = tmp_path / "m" / "config.cfg"
    config.write_text(config.read_text().replace('factory = "entity_ruler"', 'factory = "nobodys"'))
    with pytest.raises(spacy_backend.ModelError, match="packages that its components come from"):
        spacy_backend.load(name)


@pytest.mark.parametrize("package", ["spacy", "scispacy"])
def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(spacy_backend.ModelError, match=r'pip install "cxr-vlp\[scispacy\]"'):
        spacy_backend.load(f"en_without_{package}")
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"sentence": "No edema."})))
    assert cli.main(["--model", f"en_without_{package}"]) == 2
    said = capsys.readouterr()
    assert "cxr-vlp[scispacy]" in said.err
    assert said.out == ""
