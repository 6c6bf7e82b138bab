"""The table of samples says what an independent reading of the tars says."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_vlp.pipelines.cards import sample_table, stored
from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.sample import LABELS, OtherLabel, Sample
from cxr_vlp.pipelines.format.tar import TarWriter

SOURCES = ("mimic", "chexpert", "nih", "openi")


def by_tarfile(folder: Path) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Yield (tar, key, members) in the order of the tars, read with the standard library."""
    for split in ("train", "validate", "test"):
        for path in sorted((folder / split).glob("*.tar")):
            found: dict[str, dict[str, bytes]] = {}
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    found.setdefault(key, {})[kind] = tar.extractfile(member).read()
            yield from ((path.name, key, members) for key, members in found.items())


def assert_table_of(folder: Path, table: pa.Table) -> None:
    """Compare every row with the members that tarfile and json read."""
    wanted = list(by_tarfile(folder))
    rows = table.to_pylist()
    assert [(row["shard"], row["key"]) for row in rows] == [(tar, key) for tar, key, _ in wanted]
    for row, (_, _, members) in zip(rows, wanted, strict=True):
        document = json.loads(members["json"])
        image = members.get("jpg") or members["png"]
        with (folder / row["split"] / row["shard"]).open("rb") as tar:
            tar.seek(row["offset"])
            assert tar.read(row["bytes"]) == image
        said = {name: row[f"{LABEL}{name}"] for name in LABELS}
        assert {n: v for n, v in said.items() if v is not None} == document["labels"]
        for name in ("dataset", "split", "patient", "study", "image", "view", "sex", "age"):
            assert row[name] == document[name]
        assert row["labels_other"] == document["labels_other"]
        assert row["study_order"] == document["order"]
        assert row["notes"] == document["pixels"]["notes"]
        assert row["caption_chars"] == len(members["txt"].decode())
        mentions = [m for sentence in document["sentences"] for m in sentence["mentions"]]
        assert row["devices"] == len([m for m in mentions if m["device"]])
        assert row["changes"] == len([m for m in mentions if m["change"]])
        statuses = [sentence["status"] for sentence in document["sentences"]]
        assert row["sentences_abnormal"] == statuses.count("abnormal")
        assert row["image_sha256"] == document["provenance"]["image_sha256"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_table_is_that_of_tarfile_and_json(built, source):
    folder = built / "shards" / source
    table = sample_table.build(folder)
    assert table.schema.equals(sample_table.SCHEMA)
    assert table.num_rows > 10
    assert_table_of(folder, table)


def test_two_workers_give_the_same_table(built):
    folder = built / "shards" / "mimic"
    assert sample_table.build(folder, workers=2).equals(sample_table.build(folder))


def test_png_and_salted_ids(salted_png):
    table = sample_table.build(salted_png)
    assert_table_of(salted_png, table)
    for sample in stored.samples(salted_png, table.slice(0, 3)):
        image = Image.open(io.BytesIO(sample.image))
        assert (image.format, image.size) == ("PNG", (sample.row["width"], sample.row["height"]))
    assert all(len(patient) >= 16 for patient in table.column("patient").to_pylist())


def test_report_text_is_in_no_column(built):
    folder = built / "shards" / "openi"
    cells = {str(value) for row in sample_table.build(folder).to_pylist() for value in row.values()}
    texts = [json.loads(members["json"]) for _, _, members in by_tarfile(folder)]
    sentences = {s["text"] for document in texts for s in document["sentences"]}
    assert len(sentences) > 20
    assert not sentences & cells


@pytest.fixture
def copied(built, tmp_path) -> Path:
    return Path(shutil.copytree(built / "shards" / "nih", tmp_path / "nih"))


def first_tar(folder: Path) -> Path:
    return min((folder / "train").glob("*.tar"))


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_a_cut_tar_stops(copied, kept):
    path = first_tar(copied)
    os.truncate(path, int(path.stat().st_size * kept) // 512 * 512)
    with pytest.raises(DataError, match="run cxr-vlp verify"):
        sample_table.build(copied)


def test_a_tar_of_another_set_in_its_place_stops(copied):
    other = max((copied / "train").glob("*.tar"))
    shutil.copy(other, first_tar(copied))
    with pytest.raises(DataError, match="not the size that the manifest says"):
        sample_table.build(copied)


def change_lines(folder: Path, **values: Any) -> None:
    header, lines = manifest.read(folder)
    rows = (header, *(line | values for line in lines))
    (folder / manifest.NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_tar_with_fewer_samples_than_the_manifest_says_stops(copied):
    change_lines(copied, samples=999)
    with pytest.raises(DataError, match="999"):
        sample_table.build(copied)


def test_a_tar_in_the_folder_of_another_split_stops(copied):
    shutil.rmtree(copied / "test")
    (copied / "train").rename(copied / "test")
    change_lines(copied, split="test")
    with pytest.raises(DataError, match="another split"):
        sample_table.build(copied)


def test_a_tar_that_is_gone_stops(copied):
    first_tar(copied).unlink()
    with pytest.raises(DataError, match="is not there"):
        sample_table.build(copied)


def test_no_set_is_no_table(tmp_path):
    with pytest.raises(ConfigError, match="is no set"):
        sample_table.build(tmp_path)


def test_a_set_without_samples_has_an_empty_typed_table(copied):
    change_lines(copied, samples=0)
    table = sample_table.build(copied)
    assert table.num_rows == 0
    assert table.schema.equals(sample_table.SCHEMA)


def test_the_cache_serves_its_own_set_only(copied, tmp_path):
    state = tmp_path / "state"
    table = sample_table.of_set(copied, state)
    path = first_tar(copied)
    path.write_bytes(bytes(path.stat().st_size))  # no tar any more
    assert sample_table.of_set(copied, state).equals(table)  # no tar was read
    text = (copied / manifest.NAME).read_text()
    header, rest = text.split("\n", 1)
    changed = json.dumps(json.loads(header) | {"digest": "0" * 64})
    (copied / manifest.NAME).write_text(f"{changed}\n{rest}")
    with pytest.raises(DataError):
        sample_table.of_set(copied, state)


@pytest.mark.parametrize("size", [None, 0, 512])
def test_a_set_that_was_cut_off_after_its_table_was_cached_stops(copied, tmp_path, size):
    sample_table.of_set(copied, tmp_path / "state")
    path = first_tar(copied)
    path.unlink() if size is None else os.truncate(path, size)
    with pytest.raises(DataError, match="run cxr-vlp verify"):
        sample_table.of_set(copied, tmp_path / "state")


@pytest.mark.parametrize("values", [{"credentialed": True}, {"ids": "salted"}])
def test_the_cached_table_of_a_private_set_is_private(copied, tmp_path, values):
    header, lines = manifest.read(copied)
    rows = (header | values, *lines)
    (copied / manifest.NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        sample_table.of_set(copied, tmp_path / "state")
        (path,) = (tmp_path / "state" / "tables").iterdir()
        assert path.stat().st_mode & 0o077 == 0
        path.chmod(0o644)  # as an earlier version wrote it


def test_a_table_of_the_cache_is_written_as_the_same_bytes(built, tmp_path):
    for name in ("first", "cached"):
        table = sample_table.of_set(built / "shards" / "openi", tmp_path / "state")
        sample_table.write(table, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "cached").read_bytes()


def test_a_damaged_cache_is_made_again(copied, tmp_path):
    state = tmp_path / "state"
    table = sample_table.of_set(copied, state)
    (path,) = (state / "tables").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert sample_table.of_set(copied, state).equals(table)


def test_stored_samples_of_a_tar_that_became_shorter(copied):
    table = sample_table.build(copied)
    path = first_tar(copied)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match="cut off"):
        list(stored.samples(copied, table))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"age": 40000}, "not of its type"),
        ({"age": "secret name"}, "not of its type"),
        ({"labels": {"Secret Finding": 1}}, "a label has no column"),
        ({"format": 999}, "made by a later version"),
        ({"sentences": None}, "JSON member is broken"),
    ],
)
def test_a_sample_that_does_not_fit_the_table_stops(built, tmp_path, monkeypatch, change, says):
    sample = Sample(caption="a", dataset="nih", study="s", image="i", split="train", patient="p")
    document = json.loads(sample.to_json()) | change
    monkeypatch.setattr(Sample, "to_json", lambda _: json.dumps(document).encode())
    written(tmp_path / "nih", manifest.header(built / "shards" / "nih"), [sample])
    with pytest.raises(DataError, match=says) as found:
        sample_table.build(tmp_path / "nih")
    assert "ecret" not in str(found.value)


names = st.text("abcxyz019-_", min_size=1, max_size=12)
made = st.builds(
    lambda study, image, labels, other, text, age: Sample(
        caption=text, findings=text * 2, dataset="nih", study=study, image=image, split="train",
        patient="p", labels=labels, labels_other=(OtherLabel(other, 1),), age=age,
    ),
    names, names,
    st.dictionaries(st.sampled_from(LABELS), st.sampled_from((-1, 0, 1))),
    st.text(max_size=8), st.text(min_size=1, max_size=20), st.none() | st.integers(0, 120),
)  # fmt: skip


def written(folder: Path, header: dict[str, Any], samples: list[Sample]) -> None:
    """Write a set of one tar, without asking the code that is tested."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    path = folder / "train" / "nih-train-00000.tar"
    with path.open("wb") as stream:
        tar = TarWriter(stream)
        for number, sample in enumerate(samples):
            tar.add(f"{sample.key}.jpg", bytes([number]) * (number * 511 + 1))
            tar.add(f"{sample.key}.json", sample.to_json())
            tar.add(f"{sample.key}.txt", sample.caption.encode())
        tar.finish()
    line = {
        "name": "nih-train-00000.tar", "split": "train", "fingerprint": "", "sha256": "",
        "bytes": path.stat().st_size, "samples": len(samples), "studies": 0, "patients": 0,
        "rejects": {}, "notes": {},
    }  # fmt: skip
    rows = "".join(json.dumps(row) + "\n" for row in (header, line))
    (folder / manifest.NAME).write_text(rows)


@settings(max_examples=40)
@given(samples=st.lists(made, min_size=1, max_size=6, unique_by=lambda sample: sample.key))
def test_any_samples(samples, tmp_path_factory, built):
    folder = tmp_path_factory.mktemp("any")
    written(folder, manifest.header(built / "shards" / "nih"), samples)
    assert_table_of(folder, sample_table.build(folder))
