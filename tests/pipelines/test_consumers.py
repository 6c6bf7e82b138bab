"""The shards open, unchanged, in the readers that others train with."""

from __future__ import annotations

import argparse
import functools
import json
import tarfile
from pathlib import Path

import PIL.Image
import pytest

from pipelines import manifest


@pytest.fixture(scope="module")
def sets(built) -> Path:
    return built / "shards"


def tars(folder: Path) -> list[str]:
    return [str(path) for path in sorted((folder / "train").glob("*.tar"))]


def written(folder: Path) -> int:
    _, lines = manifest.read(folder)
    return sum(line["samples"] for line in lines if line["split"] == "train")


def test_plain_tarfile(sets):
    for path in tars(sets / "mimic"):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert [name.rsplit(".", 1)[1] for name in names] == ["jpg", "json", "txt"] * (
                len(names) // 3
            )
            picture = PIL.Image.open(tar.extractfile(names[0]))
            assert (picture.mode, min(picture.size)) == ("L", 128)


def test_webdataset(sets):
    import webdataset as wds

    data = wds.WebDataset(tars(sets / "mimic"), shardshuffle=False, empty_check=False)
    seen = list(data.decode("pil").to_tuple("__key__", "jpg", "txt", "json"))
    assert len(seen) == written(sets / "mimic")
    for key, picture, text, document in seen:
        assert picture.size == (document["pixels"]["width"], document["pixels"]["height"])
        assert text == document["caption"]
        assert key == f"mimic-{document['study']}-{document['image']}"


def arguments(train_data: str, **changes) -> argparse.Namespace:
    values = {
        "train_data": train_data,
        "train_num_samples": None,
        "train_data_upsampling_factors": None,
        "dataset_resampled": False,
        "batch_size": 4,
        "workers": 1,
        "world_size": 1,
        "seed": 0,
    }
    return argparse.Namespace(**values | changes)


@pytest.fixture
def open_clip_batches(monkeypatch):
    """open_clip's loader as it is with the webdataset it pins for training (0.2.86).

    Newer releases hand an end-of-shard mark to open_clip's own grouping, which trips over it on any
    shard whatever; without the mark it reads as it was written to.
    """
    from open_clip_train import data

    unmarked = functools.partial(data.tar_file_expander, eof_value=None)
    monkeypatch.setattr(data, "tar_file_expander", unmarked)
    return _open_clip_batches


def _open_clip_batches(args: argparse.Namespace):
    import open_clip
    from open_clip_train.data import get_wds_dataset

    preprocess = open_clip.image_transform(64, is_train=False)
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    data = get_wds_dataset(args, preprocess, is_train=True, tokenizer=tokenizer)
    return data, list(data.dataloader)


def test_open_clips_own_training_loader_counts_by_sizes_json(sets, open_clip_batches):
    data, batches = open_clip_batches(arguments(str(sets / "nih/train/nih-train-0000{0..1}.tar")))
    count = written(sets / "nih")
    assert data.dataloader.num_samples == -(-count // 4) * 4
    images, tokens = batches[0]
    assert images.shape == (4, 3, 64, 64)
    assert tokens.shape == (4, 77)


def test_open_clip_joins_collections_when_told_how_many(sets, open_clip_batches):
    # its own count looks for every name in the first folder's sizes.json only
    urls = "::".join(t for name in ("mimic", "nih") for t in tars(sets / name))
    count = written(sets / "mimic") + written(sets / "nih")
    _, batches = open_clip_batches(arguments(urls, train_num_samples=count))
    assert sum(len(images) for images, _ in batches) >= count
    with pytest.raises(KeyError):
        open_clip_batches(arguments(urls))


def test_hugging_face_datasets(sets, tmp_path):
    import datasets

    files = tars(sets / "openi")
    data = datasets.load_dataset(
        "webdataset", data_files={"train": files}, split="train", cache_dir=str(tmp_path)
    )
    assert len(data) == written(sets / "openi")
    row = data[0]
    assert set(row) >= {"__key__", "jpg", "json", "txt"}
    document = row["json"] if isinstance(row["json"], dict) else json.loads(row["json"])
    text = row["txt"] if isinstance(row["txt"], str) else row["txt"].decode()
    assert text == document["caption"]
    assert row["jpg"].size[0] == document["pixels"]["width"]
