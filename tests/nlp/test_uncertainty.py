"""Uncertainty: one vocabulary for what an uncertain label or sentence counts as."""

from __future__ import annotations

import pytest

from cxr_vlp.nlp.uncertainty import policy, resolve, state, status


@pytest.mark.parametrize(
    ("name", "label", "sentence"),
    [
        ("positive", 1, "abnormal"),
        ("ones", 1, "abnormal"),
        ("abnormal", 1, "abnormal"),
        ("negative", 0, "normal"),
        ("zeros", 0, "normal"),
        ("normal", 0, "normal"),
        ("exclude", None, "uncertain"),
        ("ignore", None, "uncertain"),
        ("keep", -1, "uncertain"),
    ],
)
def test_a_policy_decides_what_is_uncertain_and_nothing_else(
    name: str, label: int | None, sentence: str
) -> None:
    assert state(-1, name) == label
    assert [state(found, name) for found in (0, 1)] == [0, 1]
    assert status("uncertain", name) == sentence
    others = ("normal", "abnormal", "nonfinding")
    assert tuple(status(found, name) for found in others) == others


def test_labels_are_resolved_each_by_its_own_policy() -> None:
    given = {"Edema": -1, "Fracture": 1, "Pneumonia": -1}
    assert resolve(given) == given
    assert resolve(given, "ones") == {"Edema": 1, "Fracture": 1, "Pneumonia": 1}
    assert resolve(given, "zeros", {"Edema": "ones"}) == {"Edema": 1, "Fracture": 1, "Pneumonia": 0}
    assert resolve(given, "ignore") == {"Fracture": 1}


def test_an_unknown_policy_fails_with_the_known_ones() -> None:
    for wrong in (policy, lambda name: state(1, name), lambda name: resolve({"Edema": 0}, name)):
        with pytest.raises(ValueError, match="policy must be one of positive, negative"):
            wrong("maybe")
