"""The task `negation` on shards: models that read "no", that do not, and that say nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.tasks import negation
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals

NAMES = {"Cardiomegaly": ["cardiomegaly"], "Pleural Effusion": ["a pleural effusion"]}


def mention(label, text, certainty="definite"):
    assertion = {"definite": "present", "possible": "uncertain", "absent": "absent"}[certainty]
    return {
        "finding": label.lower(), "label": label, "assertion": assertion, "certainty": certainty,
        "start": text.lower().index(label.lower()), "end": len(text) - 1,
    }  # fmt: skip


def says(label, certainty, statement):
    text = f"Some {label.lower()}."
    sentence = {"text": text, "mentions": [mention(label, text, certainty)]}
    return {"sentences": [sentence], "statements": [statement]}


@pytest.fixture
def bank(tmp_path):
    """A bank whose names the model knows."""
    path = tmp_path / "bank.yaml"
    frames = {
        "positive": ["{bare}.", "There is {x}."],
        "negative": ["No {bare}.", "There is no {bare}."],
        "uncertain": ["Perhaps {x}."],
    }
    none = {polarity: ["clear lungs"] for polarity in frames}
    path.write_text(json.dumps({"frames": frames, "names": NAMES, "no_finding": none}))
    return str(path)


def run(folders, bank, *models, split="test", **changes):
    return negation.run(evaluation(folders, bank, *models, split=split, **changes))


def evaluation(folders, bank, *models, split="test", **changes):
    shards = {split: list_shards(folders, split)}
    own = {"prompts": {"file": bank}, "labels": ["Cardiomegaly", "Pleural Effusion"]}
    return Evaluation(
        models, shards, split, protocol.load("ours", own | {"views": []} | changes), Intervals(40)
    )


def shares(result, label, kind):
    found = result.metrics["collections"]["mock"]["labels"][label][kind]
    return {truth: entry["value"] for truth, entry in found.items()}


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("label", ["Cardiomegaly", "Pleural Effusion", "macro"])
@pytest.mark.parametrize(
    ("how", "present", "absent"),
    [({}, 1, 1), ({"blind": True}, 0.5, 0.5), ({"constant": True}, 0.5, 0.5)],
)
def test_what_a_model_reads(source, seeing, bank, how, present, absent, label, kind):
    found = shares(run([source], bank, seeing(**how)), label, kind)
    both = (present + absent) / 2
    assert found == {"present": present, "absent": absent, "both": both}


def test_a_model_that_always_prefers_the_statement_has_one_half(source, seeing, bank):
    class Agreeing(seeing):
        def similarity(self, images, texts):
            return super().similarity(images, texts).abs() + texts.whole.sum(dim=1)

    found = shares(run([source], bank, Agreeing()), "Cardiomegaly", "short")
    assert found == {"present": 1, "absent": 0, "both": 0.5}


def test_images_are_counted_by_the_policies(seeing, tmp_path, write, bank):
    values = (1, 1, 0, -1, None, 0, -1, 1)  # of cardiomegaly

    def changes(number):
        value = values[number]
        return {"labels": {} if value is None else {"Cardiomegaly": value}}

    write(tmp_path, "mock", changes)

    def counts(**policies):
        result = run([tmp_path / "mock"], bank, seeing(), labels=["Cardiomegaly"], **policies)
        found = result.metrics["collections"]["mock"]["labels"]["Cardiomegaly"]["short"]
        return {truth: entry["images"] for truth, entry in found.items() if truth != "both"}

    assert counts() == {"present": 3, "absent": 3, "uncertain": 2}
    assert counts(unmentioned="exclude") == {"present": 3, "absent": 2, "uncertain": 2}
    assert counts(uncertain="positive") == {"present": 5, "absent": 3}
    of = {"uncertain_of": {"Cardiomegaly": "negative"}}
    assert counts(uncertain="positive", **of) == {"present": 3, "absent": 5}


def test_statements_of_the_report_are_measured_by_what_it_says(seeing, tmp_path, write, bank):
    # the odd samples have cardiomegaly; the reports of 6 and 7 are wrong, of 4 uncertain
    def changes(number):
        certainty = "definite" if number in (1, 3, 5, 6) else "absent"
        said = "There is cardiomegaly." if certainty == "definite" else "There is no cardiomegaly."
        if number == 4:
            return says("Cardiomegaly", "possible", "There may be cardiomegaly.")
        return says("Cardiomegaly", certainty, said)

    write(tmp_path, "mock", changes)
    result = run([tmp_path / "mock"], bank, seeing())
    found = result.metrics["collections"]["mock"]["labels"]["Cardiomegaly"]["statements"]
    assert {t: (e.get("images"), e["value"]) for t, e in found.items()} == {
        "present": (4, 3 / 4),
        "absent": (3, 2 / 3),
        "uncertain": (1, 0),
        "both": (None, pytest.approx((3 / 4 + 2 / 3) / 2)),
    }
    assert "chance" not in found["uncertain"]


def test_too_few_images_are_not_measured(source, seeing, bank):
    # 12 of the 24 images have each finding
    kept = run([source], bank, seeing(), min_positives=12).metrics["collections"]["mock"]
    assert "Cardiomegaly" in kept["labels"]
    with pytest.raises(ConfigError, match="no label has 13 images"):
        run([source], bank, seeing(), min_positives=13)


def test_labels_that_no_sample_names_are_listed(source, seeing, bank):
    found = run([source], bank, seeing(), labels=["Cardiomegaly", "Edema"])
    assert found.metrics["collections"]["mock"]["labels_that_no_sample_names"] == ["Edema"]
    with pytest.raises(ConfigError, match="nothing to measure"):
        run([source], bank, seeing(), labels=["Edema"])


def test_no_finding_is_no_finding(source, seeing, bank):
    found = run([source], bank, seeing(), labels=[])
    assert "No Finding" not in found.metrics["collections"]["mock"]["labels"]


def test_the_mean_over_collections(source, seeing, tmp_path, write, bank):
    write(tmp_path, "all", lambda i: {"labels": {"Cardiomegaly": -1}})  # none of them shows it
    result = run([source, tmp_path / "all"], bank, seeing(), uncertain="positive")
    assert result.metrics["mean"]["short"]["present"]["value"] == 0.5
    assert result.metrics["mean"]["short"]["absent"]["value"] == 1
    assert result.metrics["mean_of"]["short"] == ["mock"]  # `all` has no negatives
    assert result.summary["negation_short"] == 1
    assert len({tuple(row) for row in result.tables["negation.csv"]}) == 1


def test_a_set_restricts_the_images(source, seeing, bank):
    entries = [Entry(f"mock-s{n:04d}", "mock", f"p{n}", f"s{n}", "Edema") for n in (65, 66, 73, 74)]
    own = replace(
        evaluation([source], bank, seeing()), benchmark=benchmark_sets.made("four", entries)
    )
    found = negation.run(own).metrics["collections"]["mock"]
    assert found["images"] == 4
    assert found["labels"]["Cardiomegaly"]["short"]["present"]["images"] == 2


def test_workers_and_a_second_equal_model_change_no_byte(source, seeing, bank):
    own = evaluation([source], bank, seeing())
    wanted = negation.run(own)
    for other in (replace(own, workers=2), replace(own, models=(seeing(), seeing()))):
        found = negation.run(other)
        assert json.dumps([found.metrics, found.tables]) == json.dumps(
            [wanted.metrics, wanted.tables]
        )
