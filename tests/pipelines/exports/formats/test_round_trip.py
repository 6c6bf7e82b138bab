"""Every sample comes back from every form: image bytes, caption, labels, in its split.

Where the client's library is installed it reads the export; else the documented form is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import wids as library

from cxr_vlp.pipelines.format.sample import LABELS

HUB = {"train": "train", "validation": "validate", "test": "test"}


class Read(NamedTuple):
    """What a client read of one sample; `labels` has those that are mentioned."""

    split: str
    image: bytes
    caption: str
    labels: dict[str, int]
    others: dict[str, int]


def of_document(split: str, image: bytes, caption: str, document: dict[str, Any]) -> Read:
    labels = {name: v for name, v in document["labels"].items() if v is not None}
    others = {each["name"]: each["value"] for each in document["labels_other"]}
    return Read(split, image, caption, labels, others)


def of_row(row: dict[str, Any], image: bytes, caption: str = "caption") -> Read:
    assert {name for name in row if name.startswith("label_")} == {f"label_{n}" for n in LABELS}
    labels = {n: row[f"label_{n}"] for n in LABELS if row[f"label_{n}"] is not None}
    others = {each["name"]: each["value"] for each in row["labels_other"]}
    return Read(row["split"], image, row[caption], labels, others)


def csv_(out: Path) -> Iterator[tuple[str, Read]]:
    with (out / "samples.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            labels = {n: int(v) if v else None for n, v in row.items() if n.startswith("label_")}
            typed = {**row, **labels, "labels_other": json.loads(row["labels_other"])}
            yield row["key"], of_row(typed, (out / row["image_path"]).read_bytes())


def jsonl(out: Path) -> Iterator[tuple[str, Read]]:
    for line in (out / "samples.jsonl").read_bytes().decode().split("\n")[:-1]:
        row = json.loads(line)
        yield row["key"], of_row(row, (out / row["image_path"]).read_bytes())


def parquet(out: Path) -> Iterator[tuple[str, Read]]:
    for row in pq.read_table(out / "samples.parquet").to_pylist():
        yield row["key"], of_row(row, (out / row["image_path"]).read_bytes())


def hf(out: Path) -> Iterator[tuple[str, Read]]:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(out), cache_dir=str(out.parent / "cache"))
    for split, rows in found.items():
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            image = row["image"]["bytes"]
            yield row["key"], of_document(HUB[split], image, row["caption"], row)


def folder(out: Path) -> Iterator[tuple[str, Read]]:
    datasets = pytest.importorskip("datasets")
    cache = str(out.parent / "cache")
    found = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=cache)
    for split, rows in found.items():
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            image = Path(row["image"]["path"])
            read = of_row(row, image.read_bytes(), "text")
            document = json.loads(image.with_suffix(".json").read_bytes())
            text = image.with_suffix(".txt").read_bytes().decode()
            assert read == of_document(HUB[split], read.image, text, document)
            yield image.stem, read


def wids(out: Path) -> Iterator[tuple[str, Read]]:
    for index in sorted(out.glob("t*.json")) + sorted(out.glob("validate.json")):
        for shard in json.loads(index.read_bytes())["shardlist"]:
            path = out / shard["url"]
            assert path.stat().st_size == shard["filesize"]
            assert hashlib.md5(path.read_bytes()).hexdigest() == shard["md5sum"]
        samples = library.ShardListDataset(str(index), localname=str, transformations=[])
        for sample in samples:
            members = {name: part.read() for name, part in sample.items() if name[0] == "."}
            image = members.get(".jpg") or members[".png"]
            caption, document = members[".txt"].decode(), json.loads(members[".json"])
            yield sample["__key__"], of_document(index.stem, image, caption, document)


def mds(out: Path) -> Iterator[tuple[str, Read]]:
    for path in out.glob("*/index.json"):
        for shard in json.loads(path.read_bytes())["shards"]:
            data = (path.parent / shard["raw_data"]["basename"]).read_bytes()
            assert len(data) == shard["raw_data"]["bytes"]
            (number,) = struct.unpack_from("<I", data)
            assert number == shard["samples"]
            places = struct.unpack_from(f"<{number + 1}I", data, 4)
            assert places[-1] == len(data)
            for start in places[:-1]:
                names = shard["column_names"]
                sizes = struct.unpack_from(f"<{len(names)}I", data, start)
                stream = io.BytesIO(data[start + 4 * len(names) :])
                row = {n: stream.read(s) for n, s in zip(names, sizes, strict=True)}
                document, caption = json.loads(row["json"]), row["caption"].decode()
                read = of_document(path.parent.name, row["image"], caption, document)
                yield row["key"].decode(), read


def litdata(out: Path) -> Iterator[tuple[str, Read]]:
    import numpy as np
    from litdata import StreamingDataset
    from PIL import Image

    for split in (path.parent for path in out.glob("*/index.json")):
        chunks = b"".join(path.read_bytes() for path in sorted(split.glob("*.bin")))
        for row in StreamingDataset(str(split)):
            document = json.loads(row["json"])
            image = TRUTH[row["key"]].image
            # the library gives a tensor: the file itself is looked for in the chunk
            assert chunks.count(image) >= 1
            with Image.open(io.BytesIO(image)) as opened:
                grey = np.asarray(opened)
            assert row["image"].shape[1:] == grey.shape
            assert abs(row["image"][0].numpy().astype(int) - grey).max() <= 2
            yield row["key"], of_document(split.name, image, row["caption"], document)


TRUTH: dict[str, Any] = {}
READERS: dict[str, Callable[[Path], Iterator[tuple[str, Read]]]] = {
    "csv": csv_, "jsonl": jsonl, "parquet": parquet, "hf": hf, "folder": folder, "wids": wids,
    "mds": mds, "litdata": litdata,
}  # fmt: skip
FORMS = tuple(READERS)


def check(form: str, out: Path, expected: dict[str, Any]) -> None:
    TRUTH.clear()
    TRUTH.update(expected)
    found = list(READERS[form](out))
    assert len(found) == len(expected)
    read = dict(found)
    assert read.keys() == expected.keys()
    for key, sample in expected.items():
        wanted = Read(sample.split, sample.image, sample.caption, sample.labels, sample.others)
        assert read[key] == wanted, key


@pytest.mark.parametrize("form", FORMS)
def test_every_sample_of_four_sets_comes_back(form, exported, truth):
    check(form, exported("--to", form), truth)


@pytest.fixture(scope="session")
def mixed(built, altered, tmp_path_factory):
    """A set of png and a set of jpg, in a folder whose name is not ASCII."""
    folder = tmp_path_factory.mktemp("mixed") / "Röntgen 胸"
    folder.mkdir()
    altered(built / "shards/openi", folder / "a b", png=True)
    altered(built / "shards/nih", folder / "nih")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_a_set_of_png_beside_one_of_jpg(form, mixed, run, read_sets, tmp_path):
    check(form, run(mixed, tmp_path / "ö ut" / "x", "--to", form), read_sets(mixed))


@pytest.mark.parametrize("form", FORMS)
def test_one_sample(form, sets, run, truth, tmp_path):
    key = next(key for key, each in sorted(truth.items()) if each.split == "validate")
    out = run(sets, tmp_path / "out", "--to", form, "--where", f"key = '{key}'")
    check(form, out, {key: truth[key]})


@pytest.mark.parametrize("form", FORMS)
def test_the_same_export_has_the_same_bytes(form, sets, exported, run, tmp_path):
    def content(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    again = run(sets, tmp_path / "elsewhere" / "other", "--to", form, "--workers", "1")
    assert content(again) == content(exported("--to", form))
    text = (again / "export.json").read_text() + (again / "README.md").read_text()
    assert str(sets) not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("form", FORMS)
def test_no_image_is_decoded(form, sets, run, tmp_path, monkeypatch):
    import cv2
    from PIL import Image

    def refused(*_words: Any, **_flags: Any) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(cv2, "imdecode", refused)
    monkeypatch.setattr(Image, "open", refused)
    run(sets / "nih", tmp_path / "out", "--to", form)


@pytest.mark.parametrize("form", FORMS)
def test_another_caption_is_in_every_place_of_the_caption(form, sets, run, truth, tmp_path):
    out = run(sets, tmp_path / "out", "--to", form, "--caption", "findings,prompt")
    expected = {}
    for key, each in truth.items():
        text = each.document["findings"] or each.document["prompt"]
        if text:
            expected[key] = each._replace(caption=text)
    check(form, out, expected)
