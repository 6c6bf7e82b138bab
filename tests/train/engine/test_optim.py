"""The learning rate of a step, and which weights decay."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.config.recipe import OptimConfig
from cxr_vlp.train.engine import optim


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (3, 1.0), (4, 1.0), (12, 0.5), (19, 0.009607)],
)
def test_cosine_with_warm_up(step, expected):
    recipe = OptimConfig(lr=1.0, warmup=4, schedule="cosine")
    assert optim.rate(step, 20, recipe) == pytest.approx(expected, abs=1e-6)


@given(total=st.integers(2, 500), warmup=st.integers(0, 100), place=st.floats(0, 0.999))
def test_cosine_squared_is_the_same_curve_as_cosine(total, warmup, place):
    step = int(place * total)
    one, other = (
        optim.rate(step, total, OptimConfig(lr=1.0, warmup=warmup, schedule=name))
        for name in ("cosine", "cosine_squared")
    )
    assert one == pytest.approx(other, abs=1e-12)


def test_constant_stays_and_a_short_run_still_gets_past_its_warm_up():
    assert optim.rate(500, 1000, OptimConfig(lr=2.0, schedule="constant")) == 2.0
    assert optim.rate(1, 4, OptimConfig(lr=2.0, warmup=100)) == 2.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_matrices_decay_and_nothing_else(name, kind):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    made = optim.make(model, OptimConfig(name=name, weight_decay=0.1))
    assert type(made) is kind
    decays = {group["weight_decay"]: group["params"] for group in made.param_groups}
    assert [w.shape for w in decays[0.1]] == [(2, 3)]
    assert all(w.ndim == 1 for w in decays[0.0])
    optim.set_rate(made, 0.7)
    assert {group["lr"] for group in made.param_groups} == {0.7}


def test_everything_decays_where_a_recipe_says_so_and_frozen_weights_are_left_out():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    model[0].weight.requires_grad_(False)
    made = optim.make(model, OptimConfig(weight_decay=0.1, decay="all"))
    assert [len(group["params"]) for group in made.param_groups] == [3, 0]
