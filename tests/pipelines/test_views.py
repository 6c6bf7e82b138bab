"""Words for a projection: what is absent or unknown is unknown, never frontal."""

from __future__ import annotations

import pytest

from pipelines import views


@pytest.mark.parametrize(
    ("word", "view", "projection"),
    [
        ("PA", "frontal", "PA"),
        ("ap", "frontal", "AP"),
        ("antero-posterior", "frontal", "AP"),
        ("postero_anterior", "frontal", "PA"),
        ("AP_horizontal", "frontal", "AP_HORIZONTAL"),
        ("Frontal", "frontal", "FRONTAL"),
        ("LL", "lateral", "LL"),
        ("left lateral", "lateral", "LL"),
        ("LARGE LATERAL", "lateral", "LARGE LATERAL"),
        ("L", "lateral", "L"),
        ("LLD", "other", "LLD"),
        ("PA  RLD", "other", "PA RLD"),
        ("XTABLE LATERAL", "other", "XTABLE LATERAL"),
        ("", "unknown", ""),
        ("CHEST", "unknown", ""),
    ],
)
def test_of(word, view, projection):
    assert views.of(word) == (view, projection)


def test_the_first_word_that_is_known_counts():
    assert views.first("", "lateral", "PA") == ("lateral", "LATERAL")
    assert views.first("", "?") == ("unknown", "")
