"""Sets on an object store in `urls`, `verify` and in the loaders of other projects."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import shutil
from pathlib import Path

import buckets
import pytest

from cxr_vlp.pipelines import urls, verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.format import manifest, sizes
from cxr_vlp.pipelines.format.errors import StoreError
from cxr_vlp.pipelines.format.remote import store
from cxr_vlp.pipelines.format.sample import SPLITS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("mimic", "nih")


@pytest.fixture(scope="module")
def sets(built, tmp_path_factory) -> Path:
    """A folder with two sets."""
    folder = tmp_path_factory.mktemp("sets") / "shards"
    for name in SOURCES:
        shutil.copytree(built / "shards" / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def server(sets):
    with buckets.served() as address:
        for name in SOURCES:
            buckets.publish(address, sets / name, f"shards/{name}")
        yield address


@pytest.fixture
def bucket(server, monkeypatch) -> str:
    buckets.environment(monkeypatch, server)
    monkeypatch.setattr(store, "WAITS", (0.01,))
    return server


def said(capsys, *words: str) -> list[str]:
    assert urls.main(words) == 0
    return capsys.readouterr().out.splitlines()


# ---- urls


@pytest.mark.parametrize("split", SPLITS)
def test_urls_are_the_tars_in_the_order_of_the_sets(bucket, sets, capsys, split):
    names = [
        f"{name}/{split}/{path.name}"
        for name in SOURCES
        for path in sorted((sets / name / split).glob("*.tar"))
    ]
    assert said(capsys, str(sets), "--split", split) == [f"{sets}/{name}" for name in names]
    found = said(capsys, "s3://tarlabs/shards", "--split", split)
    versions = [manifest.folder_name(manifest.header(sets / name)) for name in SOURCES]
    for name, version in zip(SOURCES, versions, strict=True):
        found = [url.replace(f"{name}/{version}/", f"{name}/") for url in found]
    assert found == [f"s3://tarlabs/shards/{name}" for name in names]
    several = said(capsys, *(f"s3://tarlabs/shards/{name}" for name in SOURCES), "--split", split)
    assert several == said(capsys, "s3://tarlabs/shards", "--split", split)


def test_urls_join_to_one_line(sets, capsys):
    apart = said(capsys, str(sets / "mimic"))
    assert said(capsys, str(sets / "mimic"), "--join", "::") == ["::".join(apart)]
    assert len(apart) > 1


def test_tars_of_other_programs_are_listed_once_they_are_counted(sets, tmp_path, capsys):
    folder = tmp_path / "other"
    shutil.copytree(sets / "mimic" / "train", folder / "train")
    (folder / "train" / "sizes.json").unlink()
    with pytest.raises(DataError, match=r"no sizes\.json.*python -m cxr_vlp"):
        urls.main([str(folder)])
    assert sizes.main([str(folder)]) == 0
    capsys.readouterr()
    assert len(said(capsys, str(folder))) == len(list(folder.glob("*/*.tar")))
    with pytest.raises(ConfigError, match="no tar in the split test"):
        urls.main([str(folder), "--split", "test"])
    next((folder / "train").glob("*.tar")).unlink()
    with pytest.raises(DataError, match=r"\.tar is not there"):
        urls.main([str(folder)])


@pytest.mark.parametrize("place", ["s3://tarlabs/none", "s3://no-bucket/x", "nowhere"])
def test_a_wrong_place_prints_nothing(bucket, place, capsys):
    with pytest.raises(ConfigError):
        urls.main([place])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("place", ["https://host/x", "s3://user:secret@bucket/x", "s3://"])
@pytest.mark.parametrize("command", [urls, verify])
def test_an_address_that_is_not_read_is_refused(command, place, capsys):
    with pytest.raises(SystemExit) as end:
        command.main([place])
    assert end.value.code == 2
    assert "secret" not in capsys.readouterr().err


# ---- verify


def test_verify_says_of_a_set_in_a_store_what_it_says_of_its_copy(bucket, sets, capsys):
    results = []
    for place in (str(sets), "s3://tarlabs/shards"):
        assert verify.main([place, "--json", "--deep", "--workers", "2"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["sets"] == results[1]["sets"]
    assert [row["samples"] > 10 for row in results[1]["sets"]] == [True, True]


DAMAGE = {
    "a flipped bit": "shard.digest",
    "a cut tar": "shard.torn",
    "a missing tar": "shard.missing",
    "an added file": "file.unlisted",
    "an added tar": "file.unlisted",
    "other rejects": "manifest.digest",
    "other sizes": "sizes.differ",
}


def damaged(folder: Path, how: str) -> None:
    tar = sorted((folder / "train").glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    if how == "a flipped bit":
        data[len(data) // 2] ^= 1
        tar.write_bytes(data)
    elif how == "a cut tar":
        tar.write_bytes(data[: len(data) // 2])
    elif how == "a missing tar":
        tar.unlink()
    elif how.startswith("an added"):
        (tar.parent / ("more.tar" if "tar" in how else "notes.txt")).write_bytes(b"more")
    else:
        name = manifest.REJECTS if "rejects" in how else f"train/{manifest.SIZES}"
        (folder / name).write_text("{}\n")


@pytest.mark.parametrize("how", DAMAGE)
def test_verify_finds_damage_in_a_store(bucket, sets, tmp_path, capsys, how):
    folder = shutil.copytree(sets / "nih", tmp_path / "nih")
    damaged(folder, how)
    key = f"damaged/{how.replace(' ', '-')}/nih"
    buckets.publish(bucket, folder, key)
    assert verify.main([f"s3://tarlabs/{key}", "--json"]) == 65
    found = {row["code"] for row in json.loads(capsys.readouterr().out)["breaches"]}
    assert DAMAGE[how] in found


def test_verify_of_a_store_that_fails_ends_and_judges_nothing(bucket, monkeypatch, capsys):
    fault = functools.partial(lambda path, _: "error" if path.endswith(".tar") else "")
    with buckets.standing_before(bucket, fault) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        with pytest.raises(StoreError, match="the store is busy"):
            verify.main(["s3://tarlabs/shards", "--workers", "1"])  # others wait as long as in use
        monkeypatch.setattr("sys.argv", ["verify", "s3://tarlabs/shards", "--workers", "1"])
        assert verify.run() == 74
    assert "error" in capsys.readouterr().err


def test_what_verify_does_on_a_disk_only_is_said(bucket, sets):
    with pytest.raises(ConfigError, match=r"--rederive needs a set on a disk.*aws s3 sync"):
        verify.main(["s3://tarlabs/shards", "--rederive", "1"])
    buckets.put(bucket, sets / "nih" / "train", "bare/nih/train")
    with pytest.raises(ConfigError, match=r"no manifest\.jsonl in s3://tarlabs/bare"):
        verify.main(["s3://tarlabs/bare"])


# ---- loaders of other projects


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("webdataset")
    spec = importlib.util.spec_from_file_location("streams", ROOT / "examples/stream_from_s3.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_webdataset_reads_every_sample_from_a_store(bucket, sets, capsys, example):
    import webdataset as wds

    example.register()
    found = said(capsys, "s3://tarlabs/shards/mimic")
    data = wds.WebDataset(found, shardshuffle=False, empty_check=False)
    for workers in (0, 2):
        loader = wds.WebLoader(data, batch_size=None, num_workers=workers)
        rows = [(row["__key__"], bytes(row["jpg"]), bytes(row["txt"])) for row in loader]
        assert sorted(rows) == sorted(of_tars(sets / "mimic"))


def of_tars(folder: Path) -> list[tuple[str, bytes, bytes]]:
    import tarfile

    rows = []
    for path in sorted((folder / "train").glob("*.tar")):
        with tarfile.open(path) as tar:
            data = {name: tar.extractfile(name).read() for name in tar.getnames()}
        keys = [name.removesuffix(".txt") for name in data if name.endswith(".txt")]
        rows += [(key, data[f"{key}.jpg"], data[f"{key}.txt"]) for key in keys]
    return rows


def test_datasets_streams_every_sample_from_a_store(bucket, sets, capsys, example, monkeypatch):
    pytest.importorskip("datasets")
    import s3fs
    from fsspec.registry import _registry

    # what the example registers ends with this test
    monkeypatch.setitem(_registry, "s3", s3fs.S3FileSystem)
    rows = [
        (row["__key__"].rpartition("/")[2], row["txt"])
        for row in example.with_datasets(said(capsys, "s3://tarlabs/shards/nih"))
    ]
    assert rows == [(key, text.decode()) for key, _, text in of_tars(sets / "nih")]


@pytest.mark.slow
def test_open_clips_loader_reads_every_sample_from_a_store(
    bucket, sets, capsys, example, monkeypatch
):
    data = pytest.importorskip("open_clip_train.data")
    import open_clip

    example.register()
    # as examples/train_with_open_clip.py: for webdataset 0.2.86, which the trainer pins
    monkeypatch.setattr(
        data, "tar_file_expander", functools.partial(data.tar_file_expander, eof_value=None)
    )
    (joined,) = said(capsys, "s3://tarlabs/shards/mimic", "--join", "::")
    number = len(of_tars(sets / "mimic"))
    args = argparse.Namespace(
        train_data=joined, train_num_samples=number, train_data_upsampling_factors=None,
        dataset_resampled=False, batch_size=4, workers=1, world_size=1, seed=0,
    )  # fmt: skip
    found = data.get_wds_dataset(
        args,
        open_clip.image_transform(32, is_train=False),
        is_train=True,
        tokenizer=open_clip.get_tokenizer("ViT-B-32"),
    )
    batches = list(found.dataloader)
    assert sum(len(images) for images, _ in batches) == -(-number // 4) * 4
