"""The momentum encoder: its queue fills, wraps and is in checkpoints; no gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.momentum import MomentumEncoder


def made(length: int = 7, rate: float = 0.9) -> tuple[nn.Module, MomentumEncoder]:
    torch.manual_seed(0)
    tower = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))
    tower.register_buffer("count", torch.zeros((), dtype=torch.long))
    return tower, MomentumEncoder(tower, 4, length, rate)


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None].expand(-1, 4)


def test_the_queue_starts_empty_and_is_filled():
    _, momentum = made()
    assert momentum.negatives().shape == (0, 4)
    momentum.enqueue(numbered(1, 2, 3))
    assert momentum.negatives()[:, 0].tolist() == [1, 2, 3]


def test_the_place_wraps_and_the_oldest_keys_go():
    _, momentum = made(length=7)
    for first in (1, 4, 7):
        momentum.enqueue(numbered(first, first + 1, first + 2))
    assert momentum.negatives()[:, 0].tolist() == [8, 9, 3, 4, 5, 6, 7]
    assert (int(momentum.place), int(momentum.filled)) == (2, 7)


def test_a_batch_that_the_queue_cannot_hold_is_refused():
    _, momentum = made(length=2)
    with pytest.raises(ConfigError, match="2 rows are too few for a batch of 3"):
        momentum.enqueue(numbered(1, 2, 3))


def test_the_slow_tower_moves_by_its_share_of_the_difference():
    tower, momentum = made(rate=0.9)
    before = {name: value.clone() for name, value in momentum.tower.state_dict().items()}
    with torch.no_grad():
        for value in tower.state_dict().values():
            value += 2 if not value.is_floating_point() else 0.5
    momentum.update(tower)
    for name, value in momentum.tower.state_dict().items():
        step = 0.05 if value.is_floating_point() else 2
        assert torch.allclose(value, before[name] + step, atol=1e-6), name


def test_keys_are_unit_vectors_normalised_over_their_batch_as_queries_are():
    tower, momentum = made()
    images = torch.randn(5, 1, 3, 4)
    queries = torch.nn.functional.normalize(tower.train()(images), dim=1)
    before = {name: value.clone() for name, value in momentum.state_dict().items()}
    keys = momentum.train().keys(images)
    assert torch.allclose(keys.norm(dim=1), torch.ones(5))
    assert torch.allclose(keys, queries)
    assert torch.equal(momentum.eval().keys(images), keys)
    # a batch leaves nothing behind that the ranks would differ in
    assert all(torch.equal(before[name], value) for name, value in momentum.state_dict().items())
    assert not any("running" in name for name in before)


def test_no_gradient_reaches_keys_queue_or_the_slow_tower():
    _, momentum = made()
    images = torch.randn(3, 1, 3, 4, requires_grad=True)
    keys = momentum.keys(images)
    momentum.enqueue(keys)
    assert not keys.requires_grad
    assert not momentum.negatives().requires_grad
    assert [name for name, weight in momentum.named_parameters() if weight.requires_grad] == []


def test_later_keys_do_not_change_negatives_already_handed_out():
    _, momentum = made(length=3)
    momentum.enqueue(numbered(1, 2, 3))
    handed = momentum.negatives()
    momentum.enqueue(numbered(9))
    assert handed[:, 0].tolist() == [1, 2, 3]


def test_a_checkpoint_holds_tower_queue_and_place():
    _, momentum = made()
    momentum.enqueue(numbered(4, 5))
    _, other = made()
    other.load_state_dict(momentum.state_dict())
    assert torch.equal(other.negatives(), momentum.negatives())
    assert int(other.place) == 2
