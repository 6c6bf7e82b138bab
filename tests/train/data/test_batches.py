"""Chunks become batches of one size: no pair is lost, repeated, or in a wrong batch."""

from __future__ import annotations

from itertools import chain

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.batches import Batch, Pair, collate, rebatch, split_pairs, to_input


def made(keys: list[str], **fields: list[str]) -> Batch:
    rows = [
        Sample(**dict(zip(fields, values, strict=True)))
        for values in zip(*fields.values(), strict=True)
    ]
    grey, tokens = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(1, 3)
    return collate(
        [
            Pair(grey, tokens, False, key, (key,), row)
            for key, row in zip(keys, rows or [Sample()] * len(keys), strict=True)
        ]
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=8), st.integers(1, 7))
def test_rebatch_keeps_every_sample_and_its_order(lengths, size):
    keys = [str(i) for i in range(sum(lengths))]
    chunks, start = [], 0
    for length in lengths:
        chunks.append(made(keys[start : start + length]))
        start += length
    batches = list(rebatch(chunks, size))
    assert [key for batch in batches for key in batch.keys] == keys
    assert all(len(batch) == size for batch in batches[:-1])
    for batch in batches:
        assert batch.images.shape == (2, len(batch), 1, 2, 2)
        assert batch.tokens.shape == (1, len(batch), 3)
        assert batch.texts == (batch.keys,)


def test_input_is_three_equal_channels_normalised():
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    made_input = to_input(images, ImageConfig(mean=0.25, std=0.5))
    assert made_input.shape == (1, 3, 1, 2)
    assert made_input[0].tolist() == [[[-0.5, 1.5]]] * 3


def test_batches_of_one_source_lose_no_sample_and_mix_only_what_is_left():
    chunks = [
        made([f"{name}{place}{i}" for i, name in enumerate(names)], dataset=list(names))
        for place, names in enumerate(["abab", "aaab", "baa"])
    ]
    batches = list(rebatch(chunks, 3, same_source=True))
    sources = ["".join(sorted(each.dataset for each in batch.samples)) for batch in batches]
    assert sources == ["aaa", "bbb", "aaa", "ab"]
    assert len({key for batch in batches for key in batch.keys}) == 11


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=9), max_size=8))
def test_two_images_of_a_study_stay_apart_and_none_is_lost(studies):
    keys = [[f"{place}-{i}" for i in range(len(chunk))] for place, chunk in enumerate(studies)]
    chunks = [made(names, study=chunk) for names, chunk in zip(keys, studies, strict=True)]
    batches = list(rebatch(chunks, 3, apart=True))
    for batch in batches:
        assert len({each.study for each in batch.samples}) == len(batch)
    kept = [key for batch in batches for key in batch.keys]
    assert sorted(kept) == sorted(chain(*keys))


def test_images_whose_collection_names_no_study_may_meet():
    chunk = made(["a", "b", "c"], dataset=["x"] * 3, study=[""] * 3)
    assert [batch.keys for batch in rebatch([chunk], 3, apart=True)] == [("a", "b", "c")]


def test_split_pairs_undoes_collate():
    pairs = [
        Pair(torch.full((2, 1, 2, 2), i), torch.full((2, 3), i), bool(i % 2), f"k{i}",
             (f"a{i}", f"b{i}"), {"study": i})
        for i in range(3)
    ]  # fmt: skip
    batch = collate(pairs)
    assert batch.images.shape == (2, 3, 1, 2, 2)
    assert batch.tokens.shape == (2, 3, 3)
    assert batch.texts == (("a0", "a1", "a2"), ("b0", "b1", "b2"))
    assert batch.normal.tolist() == [False, True, False]
    for before, after in zip(pairs, split_pairs(batch), strict=True):
        assert torch.equal(before.images, after.images)
        assert torch.equal(before.tokens, after.tokens)
        assert (before.normal, before.key, before.texts) == (after.normal, after.key, after.texts)
