"""Resamples of patients: whole patients, the same for any size of chunk, unknown ways refused."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.measures import resampling
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights, interval_of


def drawn(groups, intervals):
    return np.concatenate(list(bootstrap_weights(groups, intervals)))


def test_images_of_a_patient_are_drawn_together():
    weights = drawn(["b", "a", "b", "c"], Intervals(200))
    assert weights.shape == (200, 4)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (weights[:, 0] != weights[:, 1]).any()


def test_by_image_the_patients_play_no_part():
    weights = drawn(["a", "a", "a"], Intervals(200, by="image"))
    assert (weights.sum(axis=1) == 3).all()
    assert (weights[:, 0] != weights[:, 1]).any()


def test_the_size_of_a_chunk_changes_nothing(monkeypatch):
    groups = [f"p{i % 7}" for i in range(20)]
    whole = drawn(groups, Intervals(33, seed=5))
    monkeypatch.setattr(resampling, "CELLS", 1)
    assert (drawn(groups, Intervals(33, seed=5)) == whole).all()
    assert (drawn(groups, Intervals(33, seed=6)) != whole).any()


def test_no_resamples_and_no_images_give_no_weights():
    assert list(bootstrap_weights(["a"], Intervals(0))) == []
    assert list(bootstrap_weights([], Intervals(10))) == []


@pytest.mark.parametrize("bad", [Intervals(-1), Intervals(10, by="study")])
def test_intervals_that_cannot_be_made_are_refused(bad):
    with pytest.raises(ConfigError, match="give"):
        drawn(["a"], bad)


def test_images_without_a_patient_are_not_one_patient():
    with pytest.raises(DataError, match="2 of 3 images have no patient"):
        drawn(["", "a", ""], Intervals(10))
    assert list(bootstrap_weights(["", ""], Intervals(0))) == []
    assert drawn(["", ""], Intervals(10, by="image")).shape == (10, 2)


def test_an_interval_leaves_undefined_draws_out():
    values = np.r_[np.nan, np.arange(41.0)]
    assert interval_of(values) == pytest.approx((1.0, 39.0))
    assert interval_of(np.array([np.nan])) == (None, None)
