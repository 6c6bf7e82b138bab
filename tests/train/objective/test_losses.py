"""The losses are compared with their equations, written as loops in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as nnf
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cxr_vlp.train.objective import losses

Table = list[list[float]]
NORMAL = torch.tensor([True, False, True, False, False])


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return nnf.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)


# the equations, by hand


def table(image: Tensor, text: Tensor, scale: float) -> Table:
    return [[scale * sum(map(float.__mul__, v, u)) for u in text.tolist()] for v in image.tolist()]


def both_ways(z: Table) -> float:
    rows = range(len(z))
    to_text = [math.log(math.exp(z[i][i]) / sum(math.exp(z[i][j]) for j in rows)) for i in rows]
    to_image = [math.log(math.exp(z[j][j]) / sum(math.exp(z[i][j]) for i in rows)) for j in rows]
    return -(sum(to_text) + sum(to_image)) / (2 * len(z))


def clip(image: Tensor, text: Tensor, scale: float) -> float:
    return both_ways(table(image, text, scale))


def relaxed(image: Tensor, text: Tensor, scale: float, cap: float) -> float:
    z = table(image, text, scale)
    for i in range(len(z)):
        z[i][i] = min(z[i][i], scale * cap)
    return both_ways(z)


def bce(z: Table, target: Table) -> float:
    terms = []
    for row, wanted in zip(z, target, strict=True):
        for value, t in zip(row, wanted, strict=True):
            p = 1 / (1 + math.exp(-value))
            terms.append(-(t * math.log(p) + (1 - t) * math.log(1 - p)))
    return sum(terms) / len(terms)


def softce(z: Table, target: Table) -> float:
    rows = range(len(z))
    loss = 0.0
    for i in rows:
        for j in rows:
            to_text = math.log(math.exp(z[i][j]) / sum(math.exp(z[i][k]) for k in rows))
            to_image = math.log(math.exp(z[j][i]) / sum(math.exp(z[k][i]) for k in rows))
            loss -= target[i][j] / sum(target[i]) * (to_text + to_image)
    return loss / (2 * len(z))


def contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> float:
    positive, negative = table(query, key, 1 / temperature), table(query, queue, 1 / temperature)
    rows = range(len(query))
    own = [math.exp(positive[i][i]) for i in rows]
    return -sum(math.log(own[i] / (own[i] + sum(map(math.exp, negative[i])))) for i in rows) / len(
        query
    )


FIGURE = [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
V, U = features(2, 5, 4, seed=1), features(2, 5, 4, seed=2)
Z, Y = numbers(5, 5, seed=3), numbers(5, 5, seed=4)
QUEUE = features(7, 4, seed=5)

CASES: dict[str, tuple[Callable[[], Tensor], Callable[[], float]]] = {
    "clip": (lambda: losses.clip(V[0], U[0], 14.3), lambda: clip(V[0], U[0], 14.3)),
    "clip of one pair": (lambda: losses.clip(V[0][:1], U[0][:1], 3.0), lambda: 0.0),
    "relaxed_clip": (
        lambda: losses.relaxed_clip(V[0], U[0], 9.0, 0.2),
        lambda: relaxed(V[0], U[0], 9.0, 0.2),
    ),
    "multi_view": (
        lambda: losses.multi_view(V, U, 5.0, 1.0, 0.5),
        lambda: (
            sum(clip(v, u, 5.0) for v in V for u in U) / 4
            + clip(V[0], V[1], 5.0)
            + 0.5 * clip(U[0], U[1], 5.0)
        ),
    ),
    "off_diagonal bce": (
        lambda: losses.off_diagonal(Z, NORMAL),
        lambda: bce(Z.tolist(), FIGURE),
    ),
    "off_diagonal softce": (
        lambda: losses.off_diagonal(Z, NORMAL, form="softce"),
        lambda: softce(Z.tolist(), FIGURE),
    ),
    "abnormal_clip": (
        lambda: losses.abnormal_clip(V[0], U[0], 6.0, NORMAL),
        lambda: clip(V[0][[1, 3, 4]], U[0][[1, 3, 4]], 6.0),
    ),
    "momentum_contrast": (
        lambda: losses.momentum_contrast(V[0], V[1], QUEUE, 0.07),
        lambda: contrast(V[0], V[1], QUEUE, 0.07),
    ),
    "carzero": (
        lambda: losses.carzero(Z, Y),
        lambda: both_ways(Z.tolist()) + both_ways(Y.tolist()),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_loss_equals_its_equation(name):
    found, written = CASES[name]
    assert found().shape == ()
    assert abs(found().item() - written()) < 1e-10


SCALE = torch.tensor(3.0, dtype=torch.float64)
GRADIENTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "clip": (losses.clip, (V[0], U[0], SCALE)),
    "relaxed_clip": (lambda v, u, s: losses.relaxed_clip(v, u, s, 0.2), (V[0], U[0], SCALE)),
    "multi_view": (lambda v, u, s: losses.multi_view(v, u, s, 1.0, 0.5), (V, U, SCALE)),
    "off_diagonal bce": (lambda z: losses.off_diagonal(z, NORMAL), (Z,)),
    "off_diagonal softce": (lambda z: losses.off_diagonal(z, NORMAL, "softce"), (Z,)),
    "abnormal_clip": (
        lambda v, u, s: losses.abnormal_clip(v, u, s, NORMAL),
        (V[0], U[0], SCALE),
    ),
    "momentum_contrast": (lambda q: losses.momentum_contrast(q, V[1], QUEUE, 0.2), (V[0],)),
    "carzero": (losses.carzero, (Z, Y)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_each_gradient_equals_the_numerical_gradient(name):
    function, inputs = GRADIENTS[name]
    assert torch.autograd.gradcheck(function, [x.clone().requires_grad_() for x in inputs])


# special cases


def test_clip_is_symmetric_and_lower_for_right_pairs():
    assert torch.isclose(losses.clip(V[0], U[0], 9.0), losses.clip(U[0], V[0], 9.0))
    assert losses.clip(V[0], V[0], 9.0) < losses.clip(V[0], V[0].roll(1, 0), 9.0)


def test_clip_of_equal_texts_is_the_logarithm_of_the_batch():
    same = U[0][:1].expand(8, -1)
    assert losses.clip(same, same, 5.0).item() == pytest.approx(math.log(8), abs=1e-12)


def test_a_cap_of_1_is_clip_in_value_and_gradient_even_for_a_perfect_pair():
    both = []
    for loss in (losses.clip, lambda *x: losses.relaxed_clip(*x, 1.0)):
        image = V[0].clone().requires_grad_()
        value = loss(image, V[0], 7.0)
        value.backward()
        both.append((value.detach(), image.grad))
    (one, slope), (other, again) = both
    assert torch.equal(one, other)
    assert torch.equal(slope, again)


def test_a_pair_beyond_the_cap_is_pulled_no_further_but_its_negatives_are_pushed():
    eye = torch.eye(3, dtype=torch.float64)
    cosines = torch.tensor(
        [[0.9, 0.1, 0.2], [0.3, 0.4, 0.1], [0.0, 0.2, 0.8]], dtype=torch.float64, requires_grad=True
    )
    # the cosines as they are: each text an axis, each image a row
    losses.relaxed_clip(cosines, eye, 5.0, 0.5).backward()
    assert cosines.grad.diagonal()[[0, 2]].tolist() == [0.0, 0.0]
    assert cosines.grad[1, 1] < 0
    assert (cosines.grad[~eye.bool()] > 0).all()


@given(cap=st.floats(0.01, 0.99), seed=st.integers(0, 50))
def test_relaxing_never_lowers_the_loss(cap, seed):
    image, text = features(2, 4, 3, seed=seed)
    assert losses.relaxed_clip(image, text, 4.0, cap) >= losses.clip(image, text, 4.0) - 1e-12


@pytest.mark.parametrize("cap", [0.0, -0.5, 1.01])
def test_a_cap_outside_0_to_1_is_refused(cap):
    with pytest.raises(ValueError, match="cap"):
        losses.relaxed_clip(V[0], U[0], 1.0, cap)


def test_two_equal_views_are_one_and_no_weights_leave_the_crossed_pairs():
    views, texts = V[:1].expand(2, -1, -1), U[:1].expand(2, -1, -1)
    plain = losses.clip(V[0], U[0], 4.0)
    inner = losses.clip(V[0], V[0], 4.0) + 0.5 * losses.clip(U[0], U[0], 4.0)
    assert torch.isclose(losses.multi_view(views, texts, 4.0, 0, 0), plain)
    assert torch.isclose(losses.multi_view(views, texts, 4.0, 1.0, 0.5), plain + inner)


def test_the_target_is_the_papers_figure():
    assert losses.off_diagonal_target(NORMAL).int().tolist() == FIGURE


@pytest.mark.parametrize("normal", [[False] * 5, [False, True, False, False, False]])
def test_without_two_normal_pairs_the_target_is_the_identity(normal):
    flags = torch.tensor(normal)
    assert torch.equal(losses.off_diagonal_target(flags), torch.eye(5, dtype=torch.bool))
    soft = losses.off_diagonal(Z, flags, "softce")
    assert abs(soft.item() - both_ways(Z.tolist())) < 1e-10


def test_when_all_are_normal_all_are_positives():
    flags = torch.ones(5, dtype=torch.bool)
    far = torch.full((5, 5), 40.0, dtype=torch.float64)
    assert losses.off_diagonal(far, flags).item() < 1e-12
    assert losses.off_diagonal(far, flags, "softce").item() == pytest.approx(math.log(5))


def test_an_unknown_form_is_named():
    with pytest.raises(ValueError, match="'mse' is not one of bce, softce"):
        losses.off_diagonal(Z, NORMAL, "mse")


@pytest.mark.parametrize("abnormal", [0, 1])
def test_fewer_than_two_abnormal_pairs_give_exactly_0_with_a_graph(abnormal):
    normal = torch.arange(5) >= abnormal
    image = V[0].clone().requires_grad_()
    loss = losses.abnormal_clip(image, U[0], SCALE, normal)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(image.grad, torch.zeros_like(image))


def test_normal_pairs_change_nothing_in_the_abnormal_loss():
    moved = V[0].clone()
    moved[NORMAL] = moved[NORMAL].roll(1, 1)
    here, there = (losses.abnormal_clip(v, U[0], 6.0, NORMAL) for v in (V[0], moved))
    assert torch.equal(here, there)


def test_keys_and_queue_get_no_gradient():
    query, key, queue = (x.clone().requires_grad_() for x in (V[0], V[1], QUEUE))
    losses.momentum_contrast(query, key, queue, 0.2).backward()
    assert query.grad.abs().sum() > 0
    assert key.grad is None
    assert queue.grad is None


def test_an_orthogonal_queue_has_a_closed_form():
    eye = torch.eye(6, dtype=torch.float64)
    loss = losses.momentum_contrast(eye[:2], eye[:2], eye[2:], 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 4 * math.exp(-2)), abs=1e-12)


def test_each_image_has_its_own_key_for_a_positive():
    right = losses.momentum_contrast(V[0], V[0], QUEUE, 0.1)
    assert right < losses.momentum_contrast(V[0], V[0].roll(1, 0), QUEUE, 0.1)


def test_an_empty_queue_gives_0_with_a_graph():
    query = V[0].clone().requires_grad_()
    loss = losses.momentum_contrast(query, V[1], QUEUE[:0], 0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(query.grad, torch.zeros_like(query))
