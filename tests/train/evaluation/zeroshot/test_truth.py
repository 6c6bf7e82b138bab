"""Truth by the policies, for images and for studies, and No Finding from the findings."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.protocols.protocol import load
from cxr_vlp.train.evaluation.scores import EXCLUDED
from cxr_vlp.train.evaluation.zeroshot import truth
from cxr_vlp.train.evaluation.zeroshot.no_finding import from_findings

X = EXCLUDED


def fact(key: str, study: str = "s", view: str = "frontal", **labels: int) -> ImageFacts:
    named = {name.replace("_", " "): value for name, value in labels.items()}
    return ImageFacts(key, "src", "src/p", f"src/{study}", view, labels=named)


FACTS = (fact("a", Edema=1), fact("b", Edema=-1), fact("c", Edema=0, Mass=-1), fact("d"))


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({}, [[1, 0], [X, 0], [0, X], [0, 0]]),
        ({"uncertain": "positive"}, [[1, 0], [1, 0], [0, 1], [0, 0]]),
        ({"uncertain": "negative"}, [[1, 0], [0, 0], [0, 0], [0, 0]]),
        ({"uncertain_of": {"Mass": "positive"}}, [[1, 0], [X, 0], [0, 1], [0, 0]]),
        ({"unmentioned": "exclude"}, [[1, X], [X, X], [0, X], [X, X]]),
    ],
)
def test_every_policy(policies, expected):
    made = truth.of(FACTS, ("Edema", "Mass"), load("ours", policies), {"Edema", "Mass"})
    assert made.tolist() == expected


def test_a_label_that_the_collection_never_names_is_not_negative_there():
    made = truth.of(FACTS, ("Edema", "Mass"), load("ours"), {"Edema"})
    assert made[:, 1].tolist() == [X, X, X, X]


def test_a_study_has_the_mean_or_the_highest_score_and_the_most_positive_label():
    facts = (
        fact("b", "s1", "lateral", Edema=-1, Mass=0),
        fact("a", "s1", "frontal", Edema=0, Mass=1),
        fact("0", "s2", "frontal", Edema=1),
    )
    scores = np.array([[0.2], [0.6], [0.9]])
    made, mean = truth.studies(facts, scores, "mean")
    assert [each.key for each in made] == ["0", "a"]
    assert mean[:, 0].tolist() == pytest.approx([0.9, 0.4])
    assert truth.studies(facts, scores, "max")[1][:, 0].tolist() == pytest.approx([0.9, 0.6])
    assert made[1].labels == {"Edema": -1, "Mass": 1}
    assert (made[0].view, made[1].view) == ("frontal", "several")


def test_images_of_which_every_label_is_negative_are_those_without_a_positive():
    assert truth.labelled(np.array([[0, X], [0, 1], [X, X]], np.int8)).tolist() == [
        False, True, False,
    ]  # fmt: skip


def test_a_file_that_states_truth_leaves_empty_cells_out():
    found = truth.stated(FACTS, ("Edema", "Mass"), load("ours", {"uncertain": "positive"}))
    assert found.tolist() == [[1, X], [1, X], [0, 1], [X, X]]


def test_no_finding_from_the_findings_leaves_devices_and_itself_out():
    names = ("Edema", "Mass", "Support Devices", "No Finding")
    scores = np.array([[0.2, 0.4, 0.9, 0.99], [0.5, 0.1, 0.0, 0.0]])
    found = from_findings(scores, names, probabilities=True)
    assert found["one_minus_max"].tolist() == pytest.approx([0.6, 0.5])
    assert found["mean_of_negatives"].tolist() == pytest.approx([0.7, 0.7])
    raw = from_findings(scores, names, probabilities=False)
    assert raw["one_minus_max"].tolist() == pytest.approx([-0.4, -0.5])
    assert from_findings(scores[:, 3:], names[3:], probabilities=True) == {}
