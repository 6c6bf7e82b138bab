"""Other training libraries read the shards unchanged."""

from __future__ import annotations

import argparse
import functools
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import PIL.Image
import pytest
from layouts import WRITERS
from stages import build, samples

from cxr_vlp.pipelines.cards import command as card_command
from cxr_vlp.pipelines.format import manifest, schema
from cxr_vlp.pipelines.format.sample import LABELS

SOURCES = ("mimic", "chexpert", "nih", "openi")


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
            image = PIL.Image.open(tar.extractfile(names[0]))
            assert (image.mode, min(image.size)) == ("L", 128)


def test_webdataset(sets):
    import webdataset as wds

    data = wds.WebDataset(tars(sets / "mimic"), shardshuffle=False, empty_check=False)
    seen = list(data.decode("pil").to_tuple("__key__", "jpg", "txt", "json"))
    assert len(seen) == written(sets / "mimic")
    for key, image, text, document in seen:
        assert image.size == (document["pixels"]["width"], document["pixels"]["height"])
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
    """The loader of open_clip with the webdataset release that it pins for training (0.2.86).

    Newer releases pass an end-of-shard mark to the grouping of open_clip, which fails on it with
    every shard. This fixture removes the mark.
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


def test_open_clip_joins_collections_if_the_number_is_given(sets, open_clip_batches):
    # its own count looks for every name in the first folder's sizes.json only
    urls = "::".join(t for name in ("mimic", "nih") for t in tars(sets / name))
    count = written(sets / "mimic") + written(sets / "nih")
    _, batches = open_clip_batches(arguments(urls, train_num_samples=count))
    assert sum(len(images) for images, _ in batches) >= count
    with pytest.raises(KeyError):
        open_clip_batches(arguments(urls))


def test_open_clip_counts_the_joined_folder_by_itself(sets, open_clip_batches, tmp_path):
    words = [str(sets), "--out", str(tmp_path / "all"), "--joined", "--no-images", "--no-plots"]
    assert card_command.main([*words, "--state", str(tmp_path / ".cxr")]) == 0
    folder = tmp_path / "all"
    count = sum(written(sets / name) for name in SOURCES)
    # the line of the folder's page, and one brace pattern that a user may type
    line = (folder / "README.md").read_text().split("--train-data '")[1].split("'")[0]
    parts = [f"{folder}/{part}" for part in line.split("::")]
    typed = f"{folder}/train/{{{','.join(SOURCES)}}}-train-0000{{0..1}}.tar"
    for urls in ("::".join(parts), typed):
        data, batches = open_clip_batches(arguments(urls))
        assert data.dataloader.num_samples == -(-count // 4) * 4
        assert sum(len(images) for images, _ in batches) >= count


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """The set of 400 synthetic MIMIC studies: reports, labels and mentions of every kind."""
    folder = tmp_path_factory.mktemp("many")
    WRITERS["mimic"].write(folder / "raw", studies=400, seed=3, height=96)
    return build(folder / "raw" / "mimic", "mimic", folder)


def features(folder: Path):
    import datasets

    return datasets.Features.from_dict(json.loads((folder / "features.json").read_text()))


def stored(folders: list[Path]) -> dict[str, dict]:
    return {key: sample for folder in folders for key, sample in samples(folder)}


def assert_the_same(rows: Iterable[dict], wanted: dict[str, dict]) -> None:
    """Compare all rows with the stored samples; a label that is not mentioned is null."""
    seen = set()
    for row in rows:
        document, sample = dict(row["json"]), wanted[row["__key__"]]
        labels = document.pop("labels")
        assert {name: value for name, value in labels.items() if value is not None} == sample[
            "labels"
        ]
        assert document | {"labels": sample["labels"]} == sample
        assert row["txt"] == sample["caption"]
        assert row["jpg"].size == (sample["pixels"]["width"], sample["pixels"]["height"])
        seen.add(row["__key__"])
    assert seen == set(wanted)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "which", [pytest.param("400-mimic-studies", marks=pytest.mark.slow), "all-collections"]
)
def test_hugging_face_datasets(sets, request, tmp_path, which, streaming):
    import datasets

    # NIH first: its samples have no report, no mention and no statement to infer a type from
    others = [sets / name for name in ("nih", "chexpert", "openi", "mimic")]
    is_many = which == "400-mimic-studies"
    folders = [request.getfixturevalue("many")] if is_many else others
    wanted = stored(folders)
    assert len({tuple(sample["labels"]) for sample in wanted.values()}) > 10
    rows = datasets.load_dataset(
        "webdataset",
        data_files=[str(path) for folder in folders for path in sorted(folder.glob("*/*.tar"))],
        features=features(folders[0]),
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path),
    )
    assert_the_same(rows, wanted)


@pytest.mark.slow
def test_hugging_face_datasets_on_the_card_of_400_studies(many, tmp_path):
    import datasets

    words = [str(many), "--out", str(tmp_path / "card"), "--no-images", "--no-plots"]
    assert card_command.main([*words, "--state", str(tmp_path / ".cxr")]) == 0
    loaded = datasets.load_dataset(str(tmp_path / "card"), streaming=True)
    assert set(loaded) == {"train", "validation", "test"}
    assert_the_same((row for rows in loaded.values() for row in rows), stored([many]))


@pytest.mark.slow
def test_all_sets_have_the_same_features_with_every_field(sets, many):
    found = {(sets / name / "features.json").read_bytes() for name in SOURCES}
    assert found == {(many / "features.json").read_bytes()}
    columns = features(many)
    assert list(columns) == ["__key__", "__url__", "jpg", "json", "txt"]
    # readers silently drop fields that the features do not name
    assert list(columns["json"]) == sorted(schema.FIELDS)
    assert columns["json"]["labels"].keys() == set(LABELS)


def test_samples_of_all_sets_have_the_same_types(sets, many):
    shapes: dict[str, set] = {}
    for sample in stored([many, *(sets / name for name in SOURCES)]).values():
        assert list(schema.wrong(sample)) == []
        shapes.setdefault("sample", set()).add(tuple(sample))
        for sentence in sample["sentences"]:
            shapes.setdefault("sentence", set()).add(tuple(sentence))
            for mention in sentence["mentions"]:
                shapes.setdefault("mention", set()).add(tuple(mention))
        for box in sample["boxes"]:
            shapes.setdefault("box", set()).add(tuple(box))
        for name in ("sections", "translations", "pixels", "provenance"):
            shapes.setdefault(name, set()).add(tuple(sample[name]))
    assert {name: len(found) for name, found in shapes.items()} == dict.fromkeys(shapes, 1)
    assert {"mention", "box"} <= shapes.keys()


def test_arrow_reads_any_mix_of_samples(sets, many):
    import pyarrow.json

    wanted = stored([many, *(sets / name for name in SOURCES if name != "mimic")])
    lines = "".join(json.dumps(sample) + "\n" for sample in wanted.values()).encode()
    typed = features(many).arrow_schema.field("json").type
    options = pyarrow.json.ParseOptions(
        explicit_schema=pyarrow.schema(list(typed)), unexpected_field_behavior="error"
    )
    # small blocks: many beginnings, each of which would infer types of its own
    blocks = pyarrow.json.ReadOptions(block_size=1 << 16)
    table = pyarrow.json.read_json(io.BytesIO(lines), blocks, options)
    for row, sample in zip(table.to_pylist(), wanted.values(), strict=True):
        row["labels"] = {name: n for name, n in row["labels"].items() if n is not None}
        assert row == sample
