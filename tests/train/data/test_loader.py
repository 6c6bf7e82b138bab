"""The content of a batch depends on (seed, epoch, key), and not on workers, order or ranks."""

from __future__ import annotations

import json
import tarfile
from collections import Counter, defaultdict
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.train.config.recipe import load
from cxr_vlp.train.config.sections import merge
from cxr_vlp.train.data.batches import split_pairs
from cxr_vlp.train.data.loader import Loading, in_order, training
from cxr_vlp.train.data.shards import Shard, list_shards
from cxr_vlp.train.errors import DataError
from tests.train.conftest import add, sample, write_shard

IMAGE = {
    "image": {"crop": 0.2, "shift": 0.1},
    "text": {"policies": ["sentences(2)"]},
    "run": {"shuffle": 8},
}
STUDY = {
    "image": {"count": 2, "area": [0.6, 0.9], "augment": {"flip": 0.5, "clahe": 0.5}},
    "text": {"policies": ["labels|sentences(1)"], "count": 2},
    "data": {"unit": "study"},
}
MODES = {
    "image": IMAGE,
    "study": merge(IMAGE, STUDY),
    "weights": merge(IMAGE, {"data": {"weights": {"mock": 1.6}, "apart": True}}),
    "views": merge(IMAGE, {"image": {"views": ["frontal"]}, "data": {"unit": "study"}}),
    "together": merge(IMAGE, {"data": {"apart": False}}),
    "resampled": merge(IMAGE, {"data": {"resampled": True}}),
}


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


def loading(workers: int = 0, seed: int = 0, mode: str = "image") -> Loading:
    return Loading(load("chexzero_tiny", MODES[mode]), 32, tokenize, seed, workers)


def shown(batches) -> dict[str, list[tuple]]:
    """Return for each key the texts, the images and whether it is normal."""
    found = defaultdict(list)
    for batch in batches:
        for pair in split_pairs(batch):
            found[pair.key].append((pair.texts, pair.images.numpy().tobytes(), pair.normal))
    return {key: sorted(rows) for key, rows in found.items()}


@pytest.fixture
def shards(source: Path):
    return list_shards([source], "train")


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> tuple[Shard, ...]:
    """Seven shards of uneven length with two images a study, frontal and lateral."""
    folder = tmp_path_factory.mktemp("studies") / "mock" / "train"
    sizes, number = {}, 0
    for place, count in enumerate((10, 6, 8, 4, 12, 2, 6)):
        records = {}
        for _ in range(count):
            view = ("frontal", "lateral")[number % 2]
            record = sample("mock", number // 2, view=view, image=f"i{number % 2}")
            records[f"mock-s{number:04d}"] = record
            number += 1
        sizes[f"mock-train-{place:05d}.tar"] = count
        write_shard(folder / f"mock-train-{place:05d}.tar", records)
    (folder / "sizes.json").write_text(json.dumps(sizes))
    return list_shards([folder.parent], "train")


# what an epoch of the seven shards shows: 48 images of 24 studies
SHOWN = {"image": 48, "study": 24, "views": 24}


@pytest.mark.parametrize("mode", ["image", "study", "weights"])
def test_workers_show_the_same_samples_texts_and_windows(studies, mode):
    alone = shown(training(studies, loading(mode=mode), 3, 1))
    assert len(alone) == SHOWN.get(mode, 48)
    for workers in (1, 2):
        assert shown(training(studies, loading(workers, mode=mode), 3, 1)) == alone


@given(
    st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.sampled_from(sorted(SHOWN)),
    st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_no_sample_is_lost_or_repeated_over_shards_ranks_and_workers(
    studies, count, world, workers, mode, epoch
):
    part = studies[:count]
    units = sum(shard.samples for shard in part) * SHOWN[mode] // 48
    keys = []
    for rank, worker in product(range(world), range(workers)):
        place = {"RANK": rank, "WORLD_SIZE": world, "WORKER": worker, "NUM_WORKERS": workers}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in place.items():
                patch.setenv(name, str(value))
            keys += [key for b in training(part, loading(mode=mode), epoch, 1) for key in b.keys]
    assert len(keys) == len(set(keys)) == units


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", MODES)
def test_an_epoch_continues_from_its_position(studies, mode, workers):
    whole = list(training(studies, loading(workers, mode=mode), 1, 5))
    assert len(whole) > 3
    rest = list(islice(training(studies, loading(workers, mode=mode), 1, 5), 3, None))
    assert len(rest) == len(whole) - 3
    for one, other in zip(rest, whole[3:], strict=True):
        assert one.keys == other.keys
        assert shown([one]) == shown([other])


def test_workers_do_not_hang_after_opencv_ran_threads(studies):
    cv2.setNumThreads(4)
    cv2.createCLAHE(2.0, (8, 8)).apply(np.zeros((1024, 1024), np.uint8))
    assert len(list(training(studies, loading(1, mode="study"), 0, 8))) == 3


def test_a_study_is_one_pair_of_two_images_and_two_texts(studies):
    for batch in training(studies, loading(mode="study"), 0, 8):
        assert batch.images.shape == (2, 8, 1, 32, 32)
        assert batch.tokens.shape == (2, 8, 2)
        assert len({each.study for each in batch.samples}) == 8


def test_a_weight_above_1_shows_samples_twice_with_other_draws(studies):
    found = shown(training(studies, loading(mode="weights"), 0, 1))
    assert Counter(len(rows) for rows in found.values()).keys() == {1, 2}
    assert 14 < sum(len(rows) == 2 for rows in found.values()) < 42
    assert all(rows[0][1] != rows[-1][1] for rows in found.values() if len(rows) == 2)


def test_images_of_a_study_stay_apart_where_the_recipe_says_so(studies):
    def doubled(mode: str) -> int:
        batches = training(studies, loading(mode=mode), 0, 12)
        return sum(12 - len({each.study for each in batch.samples}) for batch in batches)

    assert doubled("weights") == 0
    assert doubled("image") == 0, "it is the default"
    assert doubled("together") > 0


@pytest.mark.parametrize("world", [1, 9])
def test_a_resampled_epoch_is_as_long_on_every_rank_and_draws_as_a_finite_one(
    studies, world, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setenv("RANK", str(world - 1))
    resampled = list(training(studies, loading(mode="resampled"), 2, 5))
    assert len(resampled) == 48 // world // 5
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    finite = shown(training(studies, loading(), 2, 1))
    for key, rows in shown(resampled).items():
        assert set(rows) == set(finite[key])


@pytest.mark.parametrize("other", [(2, 0), (1, 5)], ids=["epoch", "seed"])
def test_another_epoch_or_seed_draws_differently(shards, other):
    epoch, seed = other
    one = list(training(shards, loading(), 1, 16))
    two = list(training(shards, loading(seed=seed), epoch, 16))
    assert [b.keys for b in one] != [b.keys for b in two]
    before, after = shown(one), shown(two)
    assert sum(before[key][0][0] != after[key][0][0] for key in before) > 10
    assert sum(before[key][0][1] != after[key][0][1] for key in before) > 40


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
    "no image": lambda path: drop(path, "odd-s0001.jpg"),
    "image is none": lambda path: drop(path, "odd-s0001.jpg", b"no image at all"),
    "cut inside a member": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "cut between members": lambda path: path.write_bytes(path.read_bytes()[: 512 * 3]),
    "a member that is none": lambda path: drop(path, "", extra="odd-s0003.npy"),
    "a member twice": lambda path: drop(path, "", extra="odd-s0003.txt"),
}


# A failing worker takes five seconds to join: one case with a worker is enough.
@pytest.mark.parametrize(("fault", "workers"), [*((name, 0) for name in FAULTS), ("no json", 1)])
def test_a_shard_that_breaks_the_format_is_named_and_its_samples_are_not(tmp_path, fault, workers):
    folder = broken(tmp_path, FAULTS[fault])
    with pytest.raises(DataError) as caught:
        list(in_order(list_shards([folder], "train"), loading(workers), 2))
    assert "odd-train-00000.tar" in str(caught.value)
    assert "s0001" not in str(caught.value)
    assert "s0003" not in str(caught.value)


def test_a_shard_with_fewer_whole_samples_than_promised_fails(tmp_path):
    def shorten(path: Path) -> None:
        write_shard(path, {"odd-s0000": sample("odd", 0)})

    folder = broken(tmp_path, shorten)
    with pytest.raises(DataError, match=r"1 samples where sizes\.json promises 4"):
        list(in_order(list_shards([folder], "train"), loading(), 2))


def test_png_is_read(tmp_path):
    def repack(path: Path) -> None:
        write_shard(path, {f"odd-s{i:04d}": sample("odd", i) for i in range(4)}, "png")

    batch = next(iter(in_order(list_shards([broken(tmp_path, repack)], "train"), loading(), 4)))
    assert batch.images.shape == (1, 4, 1, 32, 32)
    assert batch.images.dtype == torch.uint8


def test_a_recipe_may_take_some_views_only(studies):
    batches = list(training(studies, loading(mode="views"), 0, 1))
    assert {each.view for batch in batches for each in batch.samples} == {"frontal"}
