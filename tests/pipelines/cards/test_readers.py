"""Other libraries read a card and its tars: datasets, mlcroissant, wids, DuckDB."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stages import samples

from cxr_vlp.pipelines.cards import command

HUB_NAMES = {"train": "train", "validate": "validation", "test": "test"}
SOURCES = ("chexpert", "mimic", "nih", "openi")


def assert_complete(loaded, folders: list[Path]) -> None:
    """Compare all rows of all splits with the JSON members of the tars."""
    wanted = {key: sample for folder in folders for key, sample in samples(folder)}
    seen = set()
    for split, rows in loaded.items():
        for row in rows:
            sample, document = wanted[row["__key__"]], dict(row["json"])
            labels = {n: v for n, v in document.pop("labels").items() if v is not None}
            assert document | {"labels": labels} == sample
            assert split == HUB_NAMES[sample["split"]]
            assert row["txt"] == sample["caption"]
            assert row["jpg"].size == (sample["pixels"]["width"], sample["pixels"]["height"])
            seen.add(row["__key__"])
    assert seen == set(wanted)


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_of_the_joined_folder_is_all_sets_typed(cards, built, tmp_path, streaming):
    import datasets

    loaded = datasets.load_dataset(
        str(cards / "joined"), streaming=streaming, cache_dir=str(tmp_path)
    )
    assert_complete(loaded, [built / "shards" / name for name in SOURCES])


def test_load_dataset_of_one_set_of_the_joined_folder(cards, built):
    import datasets

    loaded = datasets.load_dataset(str(cards / "joined"), "openi", streaming=True)
    assert_complete(loaded, [built / "shards" / "openi"])


def test_load_dataset_of_a_card(cards, built, tmp_path):
    import datasets

    loaded = datasets.load_dataset(str(cards / "mimic"), cache_dir=str(tmp_path))
    assert_complete(loaded, [built / "shards" / "mimic"])
    sizes = {name: split.num_examples for name, split in loaded["train"].info.splits.items()}
    assert sizes == {name: rows.num_rows for name, rows in loaded.items()}


def test_the_page_beside_the_tars_of_a_set_is_a_repository_of_the_hub(cards, built, tmp_path):
    import datasets

    shutil.copytree(built / "shards" / "nih", tmp_path / "hub")
    shutil.copy(cards / "nih" / "README.md", tmp_path / "hub")
    loaded = datasets.load_dataset(str(tmp_path / "hub"), streaming=True)
    assert_complete(loaded, [built / "shards" / "nih"])


@pytest.mark.sampled(2)
def test_load_dataset_of_sets_with_odd_names_of_jpg_and_png(built, salted_png, tmp_path):
    import datasets

    shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / "default")
    shutil.copytree(salted_png, tmp_path / "sets" / "a|b ä")
    words = [str(tmp_path / "sets"), "--out", str(tmp_path / "all"), "--joined", "--no-plots"]
    assert command.main([*words, "--no-images", "--state", str(tmp_path / ".cxr")]) == 0
    wanted = {name: len(list(samples(tmp_path / "sets" / name))) for name in ("default", "a|b ä")}
    for config, count in (
        ("default", sum(wanted.values())), ("a-b ä", wanted["a|b ä"]),
        ("01-default", wanted["default"]),
    ):  # fmt: skip
        loaded = datasets.load_dataset(str(tmp_path / "all"), config, cache_dir=str(tmp_path / "c"))
        rows = [row for split in loaded.values() for row in split]
        assert len(rows) == count
        assert all((row["jpg"] is None) != (row["png"] is None) for row in rows)


def test_the_header_is_a_valid_card_of_the_hub(cards):
    from huggingface_hub import DatasetCard

    for name in (*SOURCES, "joined"):
        data = DatasetCard.load(cards / name / "README.md").data.to_dict()
        # all four, or one whose licence is not in the hub's list: `other`, with a name and a link
        assert data["license"] == ("cc-by-nc-nd-4.0" if name == "openi" else "other")
        assert ("license_name" in data, "license_link" in data) == (name != "openi",) * 2
        images = pq.read_metadata(cards / name / "samples.parquet").num_rows
        assert data["size_categories"] == ["n<1K"]
        infos = data["dataset_info"]
        splits = (infos[0] if isinstance(infos, list) else infos)["splits"]
        assert sum(split["num_examples"] for split in splits) == images


@pytest.mark.parametrize("name", ["mimic", "joined"])
def test_mlcroissant_reads_the_records_without_a_warning(cards, name, caplog):
    import mlcroissant

    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(cards / name / "croissant.json"))
    assert caplog.records == []
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    rows = pq.read_table(cards / name / "samples.parquet").to_pylist()
    records = list(dataset.records("samples"))
    assert len(records) == len(rows)
    for record, row in zip(records, rows, strict=True):
        assert record["samples/key"].decode() == row["key"]
        assert (record["samples/offset"], record["samples/bytes"]) == (row["offset"], row["bytes"])
        said = record["samples/label_Pleural_Effusion"]
        assert (None if said != said or said is None else int(said)) == row[
            "label_Pleural Effusion"
        ]


def test_croissant_has_the_digest_of_every_file(cards):
    from cxr_vlp.pipelines.files import jsonl

    described = json.loads((cards / "joined" / "croissant.json").read_bytes())
    files = {each["contentUrl"]: each for each in described["distribution"]}
    tars = {f"{path.parent.name}/{path.name}" for path in (cards / "joined").glob("*/*.tar")}
    assert files.keys() == tars | {"samples.parquet"}
    for path, each in files.items():
        assert each["sha256"] == jsonl.sha256(cards / "joined" / path)
        assert each["contentSize"] == f"{(cards / 'joined' / path).stat().st_size} B"


def test_wids_finds_any_sample_by_its_number(cards, built, tmp_path):
    import wids

    rows = pq.read_table(cards / "joined" / "samples.parquet").to_pylist()
    wanted = {key: s for name in SOURCES for key, s in samples(built / "shards" / name)}
    found = wids.ShardListDataset(
        str(cards / "joined" / "wids.json"), cache_dir=str(tmp_path), transformations=[]
    )
    assert len(found) == len(rows)
    for place in (0, len(rows) // 2, len(rows) - 1):
        sample = found[place]
        assert json.loads(sample[".json"].read()) == wanted[sample["__key__"]]


def test_the_wids_index_lists_every_tar_with_its_samples(cards):
    index = json.loads((cards / "joined" / "wids.json").read_bytes())
    assert index["wids_version"] == 1
    table = pq.read_table(cards / "joined" / "samples.parquet").to_pylist()
    counted = Counter(f"{row['split']}/{row['shard']}" for row in table)
    assert {each["url"]: each["nsamples"] for each in index["shardlist"]} == counted


def test_duckdb_reads_the_table_in_one_line(cards):
    import duckdb

    path = cards / "joined" / "samples.parquet"
    ((positive,),) = duckdb.sql(
        f"SELECT count(*) FROM '{path}' WHERE \"label_Pleural Effusion\" = 1"
    ).fetchall()
    column = pq.read_table(path).column("label_Pleural Effusion").to_pylist()
    assert positive == column.count(1) > 0


def test_the_examples_of_the_page_run(cards, monkeypatch):
    for name in ("mimic", "joined"):
        page = (cards / name / "README.md").read_text()
        monkeypatch.chdir(cards / name)
        seen: dict = {}
        exec(page.split("```python\n")[1].split("```")[0], seen)
        assert seen["image"][:2] == b"\xff\xd8"
        _, text, document = next(iter(seen["pairs"]))
        assert text == document["caption"]
        assert next(iter(seen["samples"]))["txt"]
