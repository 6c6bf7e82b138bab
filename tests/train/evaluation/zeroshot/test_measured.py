"""Collections, all of them pooled, and the headline: worked examples and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.protocols.protocol import load
from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable
from cxr_vlp.train.evaluation.zeroshot import measured, rows

NONE = Intervals(resamples=0)
OURS = load("ours")


def table(
    source: str, names: Sequence[str], images: int = 60, seed: int = 0, shift: float = 0.0
) -> ScoreTable:
    """Random truth and scores that follow it a little; two images a patient."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, len(names))) < 0.4).astype(np.int8)
    scores = np.clip(0.5 * rng.random(truth.shape) + 0.3 * truth + shift, 0, 1)
    facts = tuple(
        ImageFacts(f"{source}-{i:03d}", source, f"{source}/p{i // 2}", f"{source}/s{i}")
        for i in range(images)
    )
    asked = {"direct": rng.random(images)} if "No Finding" in names else {}
    return ScoreTable(facts, tuple(names), scores, truth, asked)


def measure(**tables: ScoreTable) -> measured.Measurement:
    protocols = dict.fromkeys(tables, OURS)
    return measured.measure(tables, protocols, {}, OURS, NONE)


def auroc(part: measured.Part, label: str) -> float | None:
    return next(r.values["auroc"].value for r in part.measured.labels if r.label == label)


def test_the_headline_is_the_mean_over_collections_and_not_decided_by_the_largest():
    small, large = table("a", ("Edema",), 20, 1), table("b", ("Edema", "Mass"), 400, 2, shift=0.1)
    found = measure(a=small, b=large)
    each = [found.parts[name].measured.macro["auroc"].value for name in "ab"]
    assert found.headline.macro["auroc"].value == pytest.approx(sum(each) / 2, abs=1e-15)
    assert abs(found.pooled.measured.macro["auroc"].value - each[1]) < abs(
        found.headline.macro["auroc"].value - each[1]
    )


def test_pooled_compares_images_of_one_collection_only():
    # every image of b outscores every one of a: over all pairs that would decide
    a, b = table("a", ("Edema",), 40, 3), table("b", ("Edema",), 40, 4, shift=0.2)
    found = measure(a=a, b=b)
    won = pairs = 0.0
    for each in (a, b):
        count = (each.truth == 1).sum() * (each.truth == 0).sum()
        won += roc_auc_score(each.truth[:, 0], each.scores[:, 0]) * count
        pairs += count
    assert auroc(found.pooled, "Edema") == pytest.approx(won / pairs, abs=1e-12)


def test_a_label_of_one_collection_is_pooled_over_that_one_alone():
    a, b = table("a", ("Edema",), seed=5), table("b", ("Edema", "Mass"), seed=6)
    found = measure(a=a, b=b)
    assert auroc(found.pooled, "Mass") == auroc(found.parts["b"], "Mass")
    assert [row.label for row in found.parts["a"].measured.labels] == ["Edema"]


def test_pooled_averages_what_a_collection_averages_and_not_what_the_whole_protocol_says():
    # CheXzero averages five labels; of PadChest, as `of` says, every finding
    chexzero = load("chexzero")
    one = table("padchest", ("Edema", "Mass", "No Finding"), seed=21)
    own = {"padchest": chexzero.in_collection("padchest")}
    found = measured.measure({"padchest": one}, own, {}, chexzero, NONE)
    alone, pooled = found.parts["padchest"].measured, found.pooled.measured
    assert set(pooled.macro_of) == set(alone.macro_of) == {"Edema", "Mass"}
    assert pooled.macro["auroc"].value == alone.macro["auroc"].value


def test_no_finding_alone_is_in_no_pooled_mean():
    assert measure(a=table("a", ("No Finding",), seed=22)).pooled.measured.macro_of == ()


def test_a_collection_without_a_measurable_label_is_not_in_the_headline_and_is_named():
    empty = table("b", ("Edema",), seed=8)
    empty.truth[:] = 0
    found = measure(a=table("a", ("Edema",), seed=7), b=empty)
    assert (found.headline.macro_of, found.headline.unmeasured) == (("a",), ("b",))
    assert found.headline.macro["auroc"].value == auroc(found.parts["a"], "Edema")


def test_no_finding_is_in_no_mean_unless_the_protocol_says_so():
    given = table("a", ("Edema", "No Finding"), seed=9)
    apart = measured.part(given, OURS, {}, NONE)
    assert apart.measured.macro["auroc"].value == auroc(apart, "Edema")
    mixed = measured.part(given, load("ours", {"no_finding": "averaged"}), {}, NONE)
    expected = (auroc(apart, "Edema") + auroc(apart, "No Finding")) / 2
    assert mixed.measured.macro["auroc"].value == pytest.approx(expected, abs=1e-15)


def test_a_protocol_averages_its_own_labels_and_lists_all():
    given = table("a", ("Edema", "Mass", "Hernia"), seed=10)
    found = measured.part(given, load("ours", {"average": ["Mass"]}), {}, NONE)
    assert found.measured.macro["auroc"].value == auroc(found, "Mass")
    assert len(found.measured.labels) == 3


def test_every_strategy_of_no_finding_has_every_measure_and_an_interval():
    given = table("a", ("Edema", "No Finding"), seed=11)
    limits = {measured.asked("direct"): 0.5}
    found = measured.part(given, OURS, limits, Intervals(50)).no_finding["direct"].labels[0]
    truth = given.truth[:, 1]
    assert found.label == "No Finding (direct)"
    assert found.values["auroc"].value == pytest.approx(
        roc_auc_score(truth, given.no_finding["direct"]), abs=1e-12
    )
    calls = given.no_finding["direct"] >= 0.5
    assert found.values["f1"].value == pytest.approx(f1_score(truth, calls), abs=1e-12)
    assert all(each.low is not None for each in found.values.values())


def test_thresholds_are_of_each_label_and_of_no_findings_strategies():
    given = table("v", ("Edema", "No Finding"), seed=12)
    assert set(measured.chosen(given, OURS)) == {"Edema", "No Finding", "No Finding (direct)"}
    assert measured.chosen(given, load("ours", {"thresholds": {"by": "none"}})) == {}
    half = load("ours", {"thresholds": {"by": "half"}})
    assert set(measured.chosen(given, half).values()) == {0.5}
    raw = ScoreTable(given.facts, given.names, given.scores, given.truth, {}, probabilities=False)
    with pytest.raises(ConfigError, match="no probabilities"):
        measured.chosen(raw, half)


def test_scores_that_are_no_probabilities_have_no_brier_score_and_no_calibration_error():
    given = table("a", ("Edema",), seed=13)
    raw = ScoreTable(given.facts, given.names, given.scores * 9, given.truth, {}, False)
    values = measured.part(raw, OURS, {}, NONE).measured.labels[0].values
    assert (values["brier"].value, values["ece"].value) == (None, None)
    assert values["auroc"].value == auroc(measured.part(given, OURS, {}, NONE), "Edema")


def test_an_entry_of_metrics_json_says_counts_reasons_and_prevalence():
    given = table("a", ("Edema", "Mass"), 10, seed=14)
    given.truth[:, 1] = EXCLUDED
    given.truth[:, 0] = [1, 1, 0, 0, 0, 0, 0, 0, EXCLUDED, EXCLUDED]
    found = rows.of_part(measured.part(given, OURS, {}, NONE))
    assert (found["images"], found["studies"], found["patients"]) == (10, 10, 5)
    assert found["unmeasured"] == ["Mass"]
    assert found["labels"]["Mass"]["why"] == "no image says whether it has this label"
    assert found["prevalence"] == {"Edema": 0.25, "Mass": None}
    edema = found["labels"]["Edema"]
    assert (edema["positives"], edema["negatives"], edema["why"]) == (2, 6, "")
    assert edema["f1"] == {
        "value": None,
        "low": None,
        "high": None,
        "resamples": 0,
    }  # there is no threshold
    assert edema["auroc"]["value"] is not None
