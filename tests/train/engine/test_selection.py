"""Selection by AUROC: the mean of means by hand, what is not counted, and the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf

from cxr_vlp.nlp.wording.prompts import zero_shot
from cxr_vlp.train.config.recipe import FusionConfig, ImageConfig, ModelConfig
from cxr_vlp.train.engine.selection import Selection, scorer
from cxr_vlp.train.engine.validation import Counts, PlannedImage, ValidationPlan
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.model import build

NONE = Counts({}, {}, {}, {}, {})


def plan(rows: list[tuple[str, dict[str, int]]]) -> ValidationPlan:
    images = tuple(PlannedImage((0, str(i)), *row) for i, row in enumerate(rows))
    return ValidationPlan((), (images[:4], images[4:]), 2, NONE)


def rows(source: str, label: str, positives: int, negatives: int) -> list[tuple[str, dict]]:
    return [(source, {label: int(i < positives)}) for i in range(positives + negatives)]


def test_the_number_is_the_mean_over_collections_of_the_mean_over_their_findings():
    big = rows("big", "Edema", 5, 15)
    small = [("small", {"Edema": int(i < 5), "Fracture": int(i % 2)}) for i in range(10)]
    selection = Selection.of(plan(big + small))
    assert selection.labels == ("Edema", "Fracture")
    scores = np.zeros((30, 2))
    scores[:5, 0] = 1  # big, Edema: every positive above every negative: 1
    scores[20:, 0] = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]  # small, Edema: all pairs wrong: 0
    scores[20:, 1] = 3  # small, Fracture: all equal: 1/2
    assert selection.auroc(scores) == pytest.approx((1 + (0 + 0.5) / 2) / 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_have_no_auroc(value):
    scores = np.zeros((10, 1))
    scores[3] = value
    assert np.isnan(Selection.of(plan(rows("one", "Edema", 5, 5))).auroc(scores))


def test_no_finding_uncertain_and_foreign_labels_are_not_counted():
    one = [("one", {"Edema": int(i < 5), "No Finding": int(i >= 5)}) for i in range(10)]
    one += [("one", {"Edema": -1}), ("one", {})]  # uncertain; not mentioned: negative
    two = rows("two", "Fracture", 5, 5)
    selection = Selection.of(plan(one + two))
    assert selection.labels == ("Edema", "Fracture")
    assert selection.truth[:, 0].tolist() == [1] * 5 + [0] * 5 + [-1, 0] + [-1] * 10
    assert (selection.truth[:12, 1] == -1).all(), "`one` never looked for a fracture"


@pytest.mark.parametrize(("positives", "measured"), [(4, False), (5, True)])
def test_a_label_needs_five_of_each(positives, measured):
    two = rows("two", "Edema", positives, 9) + rows("good", "Edema", 5, 5)
    assert Selection.of(plan(two)).left_out == (() if measured else ("two",))


def test_without_a_measurable_label_it_stops_with_the_remedy():
    with pytest.raises(ConfigError, match=r"set run\.select: loss"):
        Selection.of(plan(rows("two", "Edema", 1, 9)))
    with pytest.raises(ConfigError, match="5 positive and 5 negative"):
        Selection.of(plan([("bare", {})] * 20))


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 1], ids=["cosine", "fusion"])
def test_the_score_is_that_of_the_evaluation(layers):
    fusion = FusionConfig(layers=layers, heads=2, width=24, hidden=32)
    encoder = build.build(ModelConfig("cxr-tiny", fusion=fusion), seed=0)
    model = EncoderModel(encoder, ImageConfig(), "x", "", {})
    images = model.encode_images(torch.randint(0, 255, (3, 1, 96, 96), dtype=torch.uint8))
    found = scorer(model, ["Edema"])(images)[:, 0]
    for_it, against = (model.encode_texts(side) for side in zero_shot("Edema", "frames"))
    if layers:
        expected = model.similarity(images, for_it).mean(1) - model.similarity(
            images, against
        ).mean(1)
    else:
        for_it, against = (nnf.normalize(t.whole.mean(0), dim=0) for t in (for_it, against))
        expected = images.whole @ (for_it - against)
    assert torch.allclose(found, torch.sigmoid(expected).double(), atol=1e-6)
