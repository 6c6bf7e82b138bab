"""A set on an object store trains as its copy on a disk: same digest and batches, whole epochs."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import buckets
import pytest
import torch

import cxr_vlp
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import StoreError
from cxr_vlp.pipelines.format.remote import store, tars
from cxr_vlp.train import addresses, benchmark_set, evaluate, fit
from cxr_vlp.train.config.recipe import load
from cxr_vlp.train.data import ahead
from cxr_vlp.train.data.loader import Loading, in_order, training
from cxr_vlp.train.data.shards import Shard, digest, list_shards
from cxr_vlp.train.data.views import survey
from cxr_vlp.train.engine.plan import TrainingJob, identity
from cxr_vlp.train.errors import ConfigError, DataError
from tests.train.conftest import write_source

ADDRESS = f"s3://{buckets.BUCKET}/shards"


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """A folder with two sets on this machine."""
    root = tmp_path_factory.mktemp("local") / "shards"
    for name, sizes in (("mock", (20, 16, 12)), ("other", (6, 5))):
        buckets.with_manifest(
            write_source(root, name, {"train": sizes, "validate": (16,), "test": (12, 12)})
        )
    return root


@pytest.fixture(scope="module")
def server(local):
    """A server to which both are published."""
    with buckets.served() as address:
        for name in ("mock", "other"):
            buckets.publish(address, local / name, f"shards/{name}")
        yield address


@pytest.fixture
def bucket(server, monkeypatch, tmp_path) -> str:
    buckets.environment(monkeypatch, server)
    monkeypatch.setenv(tars.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(store, "WAITS", (0.01, 0.01))
    return server


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


def loading(workers: int, **data: object) -> Loading:
    recipe = load("chexzero_tiny", {"run": {"shuffle": 8}, "data": data})
    return Loading(recipe, 32, tokenize, 3, workers)


def plain(batches) -> list[tuple]:
    return [(batch.keys, batch.texts, batch.images.numpy().tobytes()) for batch in batches]


@pytest.mark.parametrize("split", ["train", "validate", "test"])
def test_the_copy_has_the_digest_of_the_set(bucket, local, split):
    mine, theirs = (list_shards(addresses.here([place]), split) for place in (str(local), ADDRESS))
    assert digest(mine) == digest(theirs)
    assert [(s.path.name, s.samples, s.source, s.bytes) for s in mine] == [
        (s.path.name, s.samples, s.source, s.bytes) for s in theirs
    ]
    job = TrainingJob(load("chexzero_tiny"), 1, mine, (), Path("x"))
    other = TrainingJob(load("chexzero_tiny"), 1, theirs, (), Path("y"))
    assert identity(job, 1) == identity(other, 1)  # so it resumes what the other one began


@pytest.mark.parametrize(
    ("workers", "data"), product((0, 2), ({}, {"weights": {"mock": 1.6}}, {"resampled": True}))
)
def test_batches_are_those_of_the_set_on_a_disk(bucket, local, workers, data):
    mine, theirs = (
        list_shards(addresses.here([place]), "train") for place in (str(local), ADDRESS)
    )
    for epoch in range(2):  # the second one from the cache
        found = plain(training(theirs, loading(workers, **data), epoch, 8))
        assert found == plain(training(mine, loading(workers, **data), epoch, 8))
        assert len(found) >= 5
    whole = [plain(in_order(each, loading(workers), 8)) for each in (mine, theirs)]
    assert whole[0] == whole[1]


def test_the_public_functions_take_an_address(bucket, local):
    pairs = zip(cxr_vlp.open_shards(ADDRESS), cxr_vlp.open_shards(local), strict=True)
    rows = [((a.key, a.image, a.caption), (b.key, b.image, b.caption)) for a, b in pairs]
    assert len(rows) == 48 + 11 + 2 * (16 + 24)
    assert all(a == b for a, b in rows)
    several = [f"{ADDRESS}/other", local / "mock"]
    batches = list(cxr_vlp.loader(several, "chexzero_tiny", batch_size=4, tokenize=tokenize))
    assert {key.partition("-")[0] for batch in batches for key in batch.keys} == {"other", "mock"}


def test_facts_are_those_of_the_set_on_a_disk(bucket, local):
    mine, theirs = (
        list_shards(addresses.here([place]), "train") for place in (str(local), ADDRESS)
    )
    assert survey(mine, ["frontal"]) == survey(theirs, ["frontal"])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_object_that_vanishes_ends_the_epoch_with_the_remedy(bucket, monkeypatch, workers):
    shards = list_shards(addresses.here([f"{ADDRESS}/mock"]), "train")
    gone = shards[1].remote.address.partition(f"{buckets.BUCKET}/")[2]

    def fault(path: str, _: int) -> str:
        return "gone" if path.endswith(gone) else ""

    with buckets.standing_before(bucket, fault) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        with pytest.raises(StoreError) as raised:
            list(training(shards, loading(workers), 0, 4))
    assert shards[1].where in str(raised.value)
    assert "start the command again" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_tar_that_is_not_the_manifests_is_bad_data(bucket, local, tmp_path):
    odd = buckets.with_manifest(write_source(tmp_path, "odd", {"train": (4,)} | REST))
    version = buckets.publish(bucket, odd, "odd")
    tar = odd / "train" / "odd-train-00000.tar"
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    key = f"odd/{version}/train/{tar.name}"
    buckets.client(bucket).put_object(Bucket=buckets.BUCKET, Key=key, Body=bytes(data))
    shards = list_shards(addresses.here([f"s3://{buckets.BUCKET}/odd"]), "train")
    with pytest.raises(DataError, match=r"s3://tarlabs/odd/.*not the tar that the manifest names"):
        list(training(shards, loading(0), 0, 4))


REST = {"validate": (1,), "test": (1,)}


def test_the_next_tars_are_fetched_while_one_is_read(bucket):
    shards = list_shards(addresses.here([f"{ADDRESS}/mock"]), "train")
    flow = ahead.shards(iter(shards))
    assert next(flow) is shards[0]
    for each in shards[1:]:
        each.fetch()  # waits for the one that is being fetched
    folder = shards[0].remote.cache.folder
    assert len(list(folder.glob("??/*.tar"))) == 3
    assert list(flow) == list(shards[1:])


def test_shards_of_this_machine_are_not_asked_for_early():
    asked = []

    def flow():
        for number in range(3):
            asked.append(number)
            yield Shard(Path(str(number)), 1, "x")

    found = ahead.shards(flow())
    next(found)
    assert asked == [0]


COMMANDS = {
    "fit": (fit.main, ["chexzero_tiny"], "o"),
    "evaluate": (evaluate.main, ["--model", "none"], "o"),
    "benchmark-set": (benchmark_set.main, ["5x200"], "o.csv"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("s3://tarlabs/none", 2, "nothing of this name"),
        ("s3://none-of-ours/x", 2, "the bucket does not exist"),
        ("s3://tarlabs/shards/mock/train", 2, "nothing of this name"),
    ],
)
def test_a_wrong_address_is_named(bucket, tmp_path, capsys, name, place, code, said):
    main, words, out = COMMANDS[name]
    words = [*words, "--shards", place, "--out", str(tmp_path / out)]
    assert main(words) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_store_that_fails_ends_with_74(bucket, tmp_path, capsys, monkeypatch, name):
    main, words, out = COMMANDS[name]
    words = [*words, "--shards", ADDRESS, "--out", str(tmp_path / out)]
    with buckets.standing_before(bucket, lambda *_: "expired") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        assert main(words) == 74
    said = capsys.readouterr().err
    assert "error: s3://tarlabs/shards: the credentials have expired" in said
    assert not (tmp_path / out).exists()


def test_a_cache_without_a_size_is_refused(bucket, monkeypatch):
    monkeypatch.setenv(tars.SIZE_VARIABLE, "0")
    with pytest.raises(ConfigError, match=r"CXR_SHARD_CACHE_GB must be a number"):
        addresses.here([ADDRESS])


def test_one_training_from_both_gives_the_same_model_and_resumes(
    bucket, local, tmp_path, tiny_recipe, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    common = [str(tiny_recipe), "--state", "state", "--threads", "1"]
    assert fit.main([*common, "--shards", str(local), "--out", "mine"]) == 0
    cached = ["--shard-cache", "tars", "--shard-cache-size", "0.001"]
    assert fit.main([*common, "--shards", ADDRESS, "--out", "theirs", *cached]) == 0
    for name in ("model.safetensors", "recipe.json"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    assert json.loads(Path("theirs/recipe.json").read_text())["trained_on"].keys() == {
        "mock", "other",
    }  # fmt: skip
    assert list(Path("tars").glob("??/*.tar"))
    assert manifest.NAME not in {path.name for path in Path("tars").iterdir()}
