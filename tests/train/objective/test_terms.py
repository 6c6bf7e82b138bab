"""The terms of the loss: their inputs, their weighted sum, and the validation loss."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as nnf

from cxr_vlp.train.config.recipe import LossConfig, LossWeights
from cxr_vlp.train.model.fusion import Logits
from cxr_vlp.train.objective import losses
from cxr_vlp.train.objective.terms import TERMS, LossInputs, total, uses_scale, validation_loss

NORMAL = torch.tensor([True, False, True, False, False])


def seen(**changes: object) -> LossInputs:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 2, 5, 4, generator=generator).double()
    images, texts = nnf.normalize(rows, dim=-1)
    keys, negatives = nnf.normalize(torch.randn(2, 5, 4, generator=generator).double(), dim=-1)
    values = {"images": images, "texts": texts, "normal": NORMAL, "scale": torch.tensor(7.0)}
    values |= {"keys": keys, "negatives": negatives}
    return LossInputs(**{**values, **changes})


def fused(rows: int = 5) -> Logits:
    generator = torch.Generator().manual_seed(1)
    return Logits(*torch.randn(2, rows, rows, generator=generator).double())


def only(**weights: float) -> LossWeights:
    return LossWeights(**{"clip": 0.0, **weights})


def test_every_weight_has_its_term():
    assert set(TERMS) == set(LossWeights.__slots__)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (LossConfig(), lambda s: losses.clip(s.images[0], s.texts[0], 7.0)),
        (LossConfig(cap=0.2), lambda s: losses.relaxed_clip(s.images[0], s.texts[0], 7.0, 0.2)),
        (
            LossConfig(only(multi_view=1), icl=0.3, tcl=0.2),
            lambda s: losses.multi_view(s.images, s.texts, 7.0, 0.3, 0.2),
        ),
        (
            LossConfig(LossWeights(momentum=0.5), temperature=0.3),
            lambda s: (
                losses.clip(s.images[0], s.texts[0], 7.0)
                + 0.5 * losses.momentum_contrast(s.images[0], s.keys, s.negatives, 0.3)
            ),
        ),
        (
            LossConfig(only(off_diagonal=1), form="softce"),
            lambda s: losses.off_diagonal(7.0 * s.images[0] @ s.texts[0].T, NORMAL, "softce"),
        ),
        (
            LossConfig(only(abnormal=1)),
            lambda s: losses.abnormal_clip(s.images[0], s.texts[0], 7.0, NORMAL),
        ),
    ],
    ids=["clip", "relaxed", "multi_view", "momentum", "off_diagonal", "abnormal"],
)
def test_a_term_is_its_loss_on_the_first_image_and_text(loss, expected):
    assert torch.isclose(total(seen(), loss), expected(seen()))


def test_a_learnt_bias_moves_all_logits():
    loss = LossConfig(only(off_diagonal=1))
    shown = seen(bias=torch.tensor(-10.0))
    logits = 7.0 * shown.images[0] @ shown.texts[0].T - 10
    assert torch.isclose(total(shown, loss), losses.off_diagonal(logits, NORMAL))


def test_the_terms_of_a_fusion_take_both_directions():
    shown = seen(fused=fused())
    to_text, to_image = shown.fused
    kept = [1, 3, 4]
    expected = {
        "carzero": losses.carzero(to_text, to_image),
        "off_diagonal": losses.off_diagonal(to_text, NORMAL)
        + losses.off_diagonal(to_image, NORMAL),
        "abnormal": losses.carzero(to_text[kept][:, kept], to_image[kept][:, kept]),
    }
    for name, value in expected.items():
        assert torch.isclose(total(shown, LossConfig(only(**{name: 1.0}))), value), name


def test_a_fused_batch_without_two_abnormal_pairs_gives_0_with_a_graph():
    logits = Logits(*(each.requires_grad_() for each in fused()))
    shown = seen(fused=logits, normal=torch.arange(5) > 0)
    loss = total(shown, LossConfig(only(abnormal=1)))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.image_to_text.grad.abs().sum() == 0


def test_terms_add_up_by_their_weights():
    parts = [total(seen(), LossConfig(only(**{name: 1.0}))) for name in ("multi_view", "abnormal")]
    both = total(seen(), LossConfig(only(multi_view=0.5, abnormal=2.0)))
    assert torch.isclose(both, 0.5 * parts[0] + 2.0 * parts[1])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (LossWeights(), LossWeights()),
        (LossWeights(clip=1, momentum=0.1), LossWeights(clip=1)),
        (only(multi_view=2), LossWeights(clip=2)),
        (only(off_diagonal=1, abnormal=1), only(off_diagonal=1, abnormal=1)),
        (only(carzero=1), only(carzero=1)),
    ],
)
def test_a_validation_measures_what_one_image_and_one_text_allow(weights, expected):
    assert validation_loss(LossConfig(weights, cap=0.4)) == LossConfig(expected, cap=0.4)


@pytest.mark.parametrize(
    ("weights", "on_cosines", "on_fusion"),
    [
        (LossWeights(), True, True),
        (only(carzero=1), False, False),
        (only(off_diagonal=1, abnormal=1), True, False),
        (only(carzero=1, momentum=1), False, False),
    ],
)
def test_the_scale_is_trained_where_a_term_reads_it(weights, on_cosines, on_fusion):
    assert uses_scale(LossConfig(weights), fused=False) is on_cosines
    assert uses_scale(LossConfig(weights), fused=True) is on_fusion
