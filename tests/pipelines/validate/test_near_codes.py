"""The search among codes: what it finds is what comparing every pair finds, but for the keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.validate import near_codes


def codes_of(bits: np.ndarray) -> near_codes.Codes:
    return np.packbits(bits, axis=1).view("<u8")


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 24), st.booleans())
def test_near_codes_are_found_and_only_near_ones(seed, flips, negative):
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, (40, 256), np.uint8)
    bits[7] = bits[31] ^ negative
    bits[7, random.permutation(256)[:flips]] ^= 1
    differ = (bits[:, None] != bits[None]).sum(axis=2)
    found = set(near_codes.near(codes_of(bits)))
    assert {(7, 31)} <= found
    for one, other in found:
        assert one < other
        assert min(differ[one, other], 256 - differ[one, other]) <= near_codes.NEAR


@pytest.mark.parametrize(
    ("differ", "is_near"),
    [(0, True), (1, True), (64, True), (65, False), (128, False), (191, False), (192, True),
     (255, True), (256, True)],
)  # fmt: skip
def test_both_sides_of_the_bounds(differ, is_near):
    random = np.random.default_rng(differ)
    bits = np.zeros((50, 256), np.uint8)
    for row in bits:
        row[random.permutation(256)[:differ]] = 1
    assert set(near_codes._is_near([*codes_of(bits).T.copy()])) == {is_near}
    one = random.integers(0, 2, (1, 256), np.uint8)
    pair = codes_of(np.concatenate([one, one ^ bits[:1]]))
    assert near_codes.differing(*pair) == differ


def alike(number: int) -> near_codes.Codes:
    """Return codes of a few families, as near to each other as the bound, in several blocks."""
    random = np.random.default_rng(1)
    family = random.integers(0, 2, (4, 256), np.uint8)
    flipped = random.random((number, 256)) < 0.12
    return codes_of(family[np.arange(number) % 4] ^ flipped)


def test_every_pair_with_a_common_key_is_compared(monkeypatch):
    codes = alike(120)
    bits = np.unpackbits(codes.view(np.uint8), axis=1, bitorder="little")
    differ = (bits[:, None] != bits[None]).sum(axis=2)
    close = np.minimum(differ, 256 - differ) <= near_codes.NEAR
    meet = np.zeros_like(close)
    for chosen in near_codes._choices():
        keys = bits[:, chosen]
        agree = (keys[:, None] != keys[None]).sum(axis=2)
        meet |= (agree == 0) | (agree == near_codes.KEY_BITS)
    expected = {(int(a), int(b)) for a, b in np.argwhere(np.triu(close & meet, 1))}
    assert len(expected) > 200
    monkeypatch.setattr(near_codes, "BLOCK", 32)  # a last block that is not full
    assert set(near_codes.near(codes)) == expected


def test_the_number_of_workers_changes_nothing():
    codes = alike(200)
    found = [list(near_codes.near(codes, workers)) for workers in (1, 3)]
    assert found[0] == found[1] == sorted(set(found[0]))


@pytest.mark.parametrize("number", [0, 1, 2, 9])
def test_few_codes(number):
    codes = alike(9)[:number]
    assert all(other < number for _, other in near_codes.near(codes))
