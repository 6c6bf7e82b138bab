"""What a batch holds must follow from (seed, epoch, key): not from workers, order or ranks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.train.conftest import add, sample, write_shard
from train.batches import Batch, rebatch, rebatch_by_source, to_input
from train.data import Loading, in_order, training
from train.errors import DataError
from train.recipe import Pictures, load
from train.shards import list_shards

OVERRIDES = {
    "image": {"crop": 0.2, "shift": 0.1},
    "text": {"policies": ["sentences(2)"]},
    "run": {"shuffle": 8},
}


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


def loading(workers: int = 0, seed: int = 0) -> Loading:
    return Loading(load("chexzero_tiny", OVERRIDES), 32, tokenize, seed, workers)


def shown(batches) -> dict[str, tuple[str, bytes]]:
    return {
        key: (text, picture.numpy().tobytes())
        for batch in batches
        for key, text, picture in zip(batch.keys, batch.texts, batch.images, strict=True)
    }


@pytest.fixture
def shards(source: Path):
    return list_shards([source], "train")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_show_the_same_samples_texts_and_windows(shards, workers):
    alone = shown(training(shards, loading(), 3, 16))
    assert len(alone) == 48
    assert shown(training(shards, loading(workers), 3, 16)) == alone


def test_an_epoch_repeats_to_the_order(shards):
    first, second = ([batch.keys for batch in training(shards, loading(), 1, 16)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("other", [(2, 0), (1, 5)], ids=["epoch", "seed"])
def test_another_epoch_or_seed_draws_anew(shards, other):
    epoch, seed = other
    one = list(training(shards, loading(), 1, 16))
    two = list(training(shards, loading(seed=seed), epoch, 16))
    assert [b.keys for b in one] != [b.keys for b in two]
    before, after = shown(one), shown(two)
    assert sum(before[key][0] != after[key][0] for key in before) > 10
    assert sum(before[key][1] != after[key][1] for key in before) > 40


def test_evaluation_shows_every_sample_once_in_order_and_unvaried(shards):
    batches = list(in_order(shards, loading(), 20))
    keys = [key for batch in batches for key in batch.keys]
    assert [len(batch) for batch in batches] == [20, 20, 8]
    assert keys == sorted(keys)
    assert shown(batches) == shown(in_order(shards, loading(), 7))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_shards_without_loss_or_repeat(shards, world, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    keys = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        keys += [key for batch in in_order(shards, loading(), 8) for key in batch.keys]
    assert len(keys) == len(set(keys)) == 48


def test_what_is_left_over_is_dropped_in_training(shards):
    assert [len(batch) for batch in training(shards, loading(), 0, 20)] == [20, 20]


def broken(tmp_path: Path, damage) -> Path:
    folder = tmp_path / "odd" / "train"
    path = folder / "odd-train-00000.tar"
    records = {f"odd-s{i:04d}": sample("odd", i) for i in range(4)}
    write_shard(path, records)
    (folder / "sizes.json").write_text('{"odd-train-00000.tar": 4}')
    damage(path)
    return tmp_path / "odd"


def drop(path: Path, name: str, replacement: bytes | None = None, extra: str = "") -> None:
    with tarfile.open(path) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in members.items():
            if member != name:
                add(tar, member, data)
            elif replacement is not None:
                add(tar, member, replacement)
        if extra:
            add(tar, extra, b"x")


FAULTS = {
    "no json": lambda path: drop(path, "odd-s0001.json"),
    "no text": lambda path: drop(path, "odd-s0001.txt"),
    "no picture": lambda path: drop(path, "odd-s0001.jpg"),
    "picture is none": lambda path: drop(path, "odd-s0001.jpg", b"no picture at all"),
    "cut inside a member": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "cut between members": lambda path: path.write_bytes(path.read_bytes()[: 512 * 3]),
    "a member twice": lambda path: drop(path, "", extra="odd-s0003.txt"),
}


# A failing worker takes five seconds to join: one case with a worker stands for all.
@pytest.mark.parametrize(("fault", "workers"), [*((name, 0) for name in FAULTS), ("no json", 1)])
def test_a_shard_that_breaks_the_contract_is_named_and_its_samples_are_not(
    tmp_path, fault, workers
):
    folder = broken(tmp_path, FAULTS[fault])
    with pytest.raises(DataError) as told:
        list(in_order(list_shards([folder], "train"), loading(workers), 2))
    assert "odd-train-00000.tar" in str(told.value)
    assert "s0001" not in str(told.value)
    assert "s0003" not in str(told.value)


def test_a_shard_with_fewer_whole_samples_than_promised_fails(tmp_path):
    def shorten(path: Path) -> None:
        write_shard(path, {"odd-s0000": sample("odd", 0)})

    folder = broken(tmp_path, shorten)
    with pytest.raises(DataError, match=r"1 samples where sizes\.json promises 4"):
        list(in_order(list_shards([folder], "train"), loading(), 2))


def test_png_is_read_and_other_members_are_not(tmp_path):
    def repack(path: Path) -> None:
        write_shard(path, {f"odd-s{i:04d}": sample("odd", i) for i in range(4)}, "png")
        drop(path, "", extra="odd-s0003.npy")

    batch = next(iter(in_order(list_shards([broken(tmp_path, repack)], "train"), loading(), 4)))
    assert batch.images.shape == (4, 1, 32, 32)
    assert batch.images.dtype == torch.uint8


def made(keys: list[str]) -> Batch:
    count = len(keys)
    images = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    return Batch(images, torch.zeros(count, 3), tuple(keys), tuple(keys), ({},) * count)


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 7))
def test_rebatch_keeps_every_sample_and_its_order(lengths, size):
    keys = [str(i) for i in range(sum(lengths))]
    chunks, start = [], 0
    for length in lengths:
        chunks.append(made(keys[start : start + length]))
        start += length
    batches = list(rebatch(chunks, size))
    assert [key for batch in batches for key in batch.keys] == keys
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(len(batch.images) == len(batch.tokens) == len(batch) for batch in batches)


def test_input_is_three_equal_channels_normalised():
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    made_input = to_input(images, Pictures(mean=0.25, std=0.5))
    assert made_input.shape == (1, 3, 1, 2)
    assert made_input[0].tolist() == [[[-0.5, 1.5]]] * 3


def test_batches_of_one_source_lose_no_sample_and_mix_only_what_is_left():
    def chunk(names: str) -> Batch:
        count = len(names)
        images, tokens = torch.zeros(count, 1, 2, 2), torch.zeros(count, 3)
        keys = tuple(f"{name}{i}" for i, name in enumerate(names))
        records = tuple({"dataset": name} for name in names)
        return Batch(images, tokens, keys, keys, records)

    made = list(rebatch_by_source([chunk("abab"), chunk("aaab"), chunk("baa")], 3))
    sources = ["".join(sorted(row["dataset"] for row in batch.records)) for batch in made]
    assert sources == ["aaa", "bbb", "aaa", "ab"]
    kept = [key for batch in made for key in batch.keys]
    assert len(kept) == 11


def test_a_recipe_may_take_some_views_only(source):
    shards = list_shards([source], "train")
    chosen = load("chexzero_tiny", {"image": {"views": ["lateral"]}, "run": {"same_source": False}})
    towers = Loading(chosen, 32, lambda _: torch.zeros(1, dtype=torch.long))
    seen = [row["view"] for batch in training(shards, towers, 0, 1) for row in batch.records]
    assert seen
    assert set(seen) == {"lateral"}
