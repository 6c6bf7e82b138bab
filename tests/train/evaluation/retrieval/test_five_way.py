"""The scores of classes, their accuracy, and precision among texts and images of a class."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.retrieval import five_classes, five_way
from cxr_vlp.train.evaluation.retrieval.similarities import Logits

# three images, the prompts of two classes: two and one
SIMILARITY = np.array([[0.8, 0.2, 0.6], [0.1, 0.7, 0.5], [0.3, 0.3, 0.1]])


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("mean", [[0.5, 0.6], [0.4, 0.5], [0.3, 0.1]]),
        ("max", [[0.8, 0.6], [0.7, 0.5], [0.3, 0.1]]),
        # 0.8, 0.7, 0.3 have mean 0.6 and deviation sqrt(0.14 / 3); 0.6, 0.5, 0.1 are 0.2 lower
        ("zscore", [[0.2, 0.2], [0.1, 0.1], [-0.3, -0.3]] / np.sqrt(0.14 / 3)),
    ],
)
def test_the_score_of_a_class(how, wanted):
    np.testing.assert_allclose(five_way.class_scores(SIMILARITY, (2, 1), how), wanted)


def test_a_class_that_scores_all_images_alike_is_no_division_by_zero():
    found = five_way.class_scores(np.array([[1.0, 0.2], [1.0, 0.4]]), (1, 1), "zscore")
    np.testing.assert_allclose(found, [[0, -1], [0, 1]])


def test_a_tie_is_no_right_answer():
    scores = np.array([[0.5, 0.5], [0.6, 0.5], [0.6, 0.5]])
    assert five_way.correct(scores, np.array([0, 0, 1])).tolist() == [0, 1, 0]
    assert five_way.confusion(scores, np.array([0, 0, 1])) == [[2, 0], [1, 0]]


def test_precision_among_texts_and_images_of_the_class():
    # images 0 and 1 of class 0, image 2 of class 1; images 1 and 2 share a text, of both classes
    owners, truth = np.array([0, 1, 1]), np.array([0, 0, 1])
    classes = five_way.classes_of_texts(owners, truth, 2, 2)
    assert classes.tolist() == [[True, False], [True, True]]
    between = Logits(np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], np.float32))
    by_image = five_way.of_images(between, truth, classes, (1, 2))
    np.testing.assert_allclose(by_image, [[1, 1], [1, 1], [0, 1 / 2]])
    by_text = five_way.of_texts(between, truth, classes, (1, 2, 3))
    np.testing.assert_allclose(by_text, [[1, 1 / 2, 2 / 3], [1, 1, 1]])


def test_the_prompts_are_the_products_of_the_bank_or_some_of_them():
    every = five_way.prompts(five_classes.FIVE, protocol.load("ours"))
    assert all(len(texts) == len(set(texts)) > 10 for texts in every)
    some = protocol.load("ours", {"retrieval": {"prompts": 5}})
    drawn = five_way.prompts(five_classes.FIVE, some)
    assert all(
        len(texts) == 5 and set(texts) < set(a) for texts, a in zip(drawn, every, strict=True)
    )
    assert drawn == five_way.prompts(five_classes.FIVE, some)
    other = protocol.load("ours", {"retrieval": {"prompts": 5, "seed": 1}})
    assert drawn != five_way.prompts(five_classes.FIVE, other)


def test_a_file_of_prompts_that_is_not_there_is_said():
    with pytest.raises(ConfigError, match=r"prompts\.file of the protocol: no file at no\.yaml"):
        five_way.prompts(("Edema",), protocol.load("ours", {"prompts": {"file": "no.yaml"}}))
