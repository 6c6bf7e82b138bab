"""Samples made again from their source: changes that the digests of the set cannot show."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from breaking import edit, members, restate, rewrite, tar_of
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.config import Params
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.validate import manifest, rederive, runner
from cxr_vlp.pipelines.validate.rederive import Rederivation, choose

ALL = 10**6


@pytest.fixture
def made(built, raw, tmp_path) -> Path:
    """A folder with raw/, scan/, texts/ and shards/ of one collection, each below its own name."""
    for name in ("scan", "texts", "shards"):
        shutil.copytree(built / name / "chexpert", tmp_path / name / "chexpert")
    shutil.copytree(raw / "chexpert", tmp_path / "raw" / "chexpert")
    return tmp_path


def again(made: Path, number: int = ALL) -> dict:
    asked = Rederivation(number, 0, str(made / "raw"), made / "scan", made / "texts", Params({}))
    return runner.check([made / "shards" / "chexpert"], deep=False, rederivation=asked)


def found(made: Path) -> set[str]:
    return {breach["code"] for breach in again(made)["breaches"]}


def source_of(made: Path, sample: int = 0) -> Path:
    """Return the raw file of a sample of the first train tar."""
    document = json.loads(members(tar_of(made / "shards" / "chexpert"))[3 * sample + 1][1])
    digest = document["provenance"]["image_sha256"]
    files = (path for path in (made / "raw").rglob("*") if path.is_file())
    return next(path for path in files if jsonl.sha256(path) == digest)


def test_every_sample_of_a_valid_set_is_rederived_identically(made):
    result = again(made)
    assert result["breaches"] == result["notes"] == []
    (row,) = result["sets"]
    assert row["rederived"] == row["samples"] > 10


def test_only_the_requested_number_of_samples_is_rederived(made):
    assert again(made, 3)["sets"][0]["rederived"] == 3


def test_a_changed_source_image_is_a_breach(made):
    path = source_of(made)
    path.write_bytes(path.read_bytes() + b"\n")
    assert found(made) == {"source.changed"}


def test_a_missing_source_image_is_a_note(made):
    before = again(made)["sets"][0]["rederived"]
    source_of(made).unlink()
    result = again(made)
    assert result["breaches"] == []
    assert result["notes"] == [{"code": "source.gone", "where": "chexpert", "count": 1}]
    assert result["sets"][0]["rederived"] == before - 1


def test_a_fifo_in_place_of_a_source_image_or_table_does_not_block(made):
    path = source_of(made)
    path.unlink()
    os.mkfifo(path)
    assert found(made) == {"sample.differs"}
    table = next((made / "raw").rglob("valid.csv"))
    table.unlink()
    os.mkfifo(table)
    assert found(made) == {"sample.differs", "source.changed"}


def test_a_replaced_image_is_a_breach(made):
    """Digests, counts and fields agree; only the source shows the change."""
    folder = made / "shards" / "chexpert"
    rewrite(folder, lambda m: [(m[0][0], m[0][1][:-2] + b"\x00\xff\xd9"), *m[1:]])
    assert runner.check([folder], deep=False)["breaches"] == []
    assert found(made) == {"sample.differs"}


def test_a_replaced_label_is_a_breach(made):
    rewrite(made / "shards" / "chexpert", edit(labels={"Fracture": 1}))
    assert found(made) == {"provenance.text_differs", "sample.differs"}


def test_texts_that_differ_from_the_shards_are_a_breach(made):
    for path in (made / "texts" / "chexpert").glob("*-train-*.jsonl"):
        rows = [row | {"statements": ["Other."]} for row in jsonl.read_records(path)]
        jsonl.write_records(path, rows)
    assert found(made) == {"texts.differ"}


def test_a_label_changed_in_the_inventory_is_a_breach(made):
    for path in (made / "scan" / "chexpert").glob("*-train-*.jsonl"):
        rows = [r | {"labels": {"Fracture": 1}} for r in jsonl.read_records(path)]
        jsonl.write_records(path, rows)
    assert found(made) == {"texts.differ"}


def test_a_label_changed_in_the_raw_table_is_a_breach(made):
    path = next((made / "raw").rglob("train.csv"))
    path.write_text(path.read_text().replace("1.0", "0.0"))
    (breach,) = again(made)["breaches"]
    assert (breach["code"], breach["where"]) == ("source.changed", "chexpert: table train")


def test_other_parameters_of_texts_are_refused(made):
    asked = Rederivation(1, 0, str(made / "raw"), made / "scan", made / "texts",
                  Params({"texts": {"prompts": 2}}))  # fmt: skip
    with pytest.raises(ConfigError, match="was made with other texts than the section `texts`"):
        runner.check([made / "shards" / "chexpert"], deep=False, rederivation=asked)


@pytest.fixture
def reported(built, raw, tmp_path) -> Path:
    """The same as `made`, for a collection with reports."""
    for name in ("scan", "texts", "shards"):
        shutil.copytree(built / name / "mimic", tmp_path / name / "mimic")
    shutil.copytree(raw / "mimic", tmp_path / "raw" / "mimic")
    return tmp_path


def reported_again(made: Path) -> dict:
    asked = Rederivation(ALL, 0, str(made / "raw"), made / "scan", made / "texts", Params({}))
    return runner.check([made / "shards" / "mimic"], deep=False, rederivation=asked)


def test_texts_are_made_again_from_the_raw_reports(reported):
    result = reported_again(reported)
    assert result["breaches"] == []
    assert result["sets"][0]["rederived"] == result["sets"][0]["samples"] > 10
    for path in (reported / "raw").rglob("s5*.txt"):
        path.write_text(path.read_text().replace("No ", "A "))
    assert {b["code"] for b in reported_again(reported)["breaches"]} == {"source.changed"}


def test_a_missing_report_is_a_note(reported):
    for path in (reported / "raw").rglob("s5*.txt"):
        path.unlink()
    result = reported_again(reported)
    assert result["breaches"] == []
    assert {note["code"] for note in result["notes"]} == {"source.gone"}


def test_a_text_edited_in_both_texts_and_shards_is_a_breach(reported):
    """All digests of the set agree; only the raw report shows the change."""
    folder = reported / "shards" / "mimic"
    first = json.loads(members(tar_of(folder))[1][1])
    said = [row for row in first["sentences"] if row["status"] != "nonfinding"][:1]
    for path in (reported / "texts" / "mimic").glob("*-train-*.jsonl"):
        rows = [
            row | {"statements": ["There is no edema."], "sentences": said}
            if row["key"] == first["study"]
            else row
            for row in jsonl.read_records(path)
        ]
        jsonl.write_records(path, rows)
    rewrite(folder, edit(statements=["There is no edema."], sentences=said))
    assert runner.check([folder], deep=True)["breaches"] == []
    assert "texts.differ" in {b["code"] for b in reported_again(reported)["breaches"]}


def test_a_sample_that_the_inventory_does_not_list_is_a_breach(made):
    for path in (made / "scan" / "chexpert").glob("*-train-*.jsonl"):
        path.write_text("")
    assert found(made) == {"sample.unlisted"}


def test_other_output_of_a_decoder_is_a_breach(made, monkeypatch):
    whole = rederive.sample_of

    def other(*arguments):
        key, made_members = whole(*arguments)
        return key, [(made_members[0][0], made_members[0][1] + b"\n"), *made_members[1:]]

    monkeypatch.setattr(rederive, "sample_of", other)
    assert found(made) == {"sample.differs"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"salt_sha256": "0" * 64}, "another salt", id="another-salt"),
        pytest.param({"pixels_epoch": 0}, "other code", id="older-code"),
        pytest.param({"toolchain": {"numpy": "0"}}, "other versions of", id="other-libraries"),
    ],
)
def test_sets_of_another_salt_code_or_library_version_are_refused(made, change, message):
    restate(made / "shards" / "chexpert", **change)
    with pytest.raises(ConfigError, match=message):
        again(made)


def test_folders_of_a_single_source_are_accepted(made):
    a_set = manifest.read(made / "shards" / "chexpert")
    own = [made / name / "chexpert" for name in ("raw", "scan", "texts")]
    several = [made / name for name in ("raw", "scan", "texts")]
    assert rederive.Origin.of(a_set, *own) == rederive.Origin.of(a_set, *several)


def test_the_command(made, capsys):
    folder = str(made / "shards")
    with pytest.raises(ConfigError, match="needs --scan and --texts"):
        verify.main([folder, "--rederive", "2"])
    where = [f"--{name}={made / name}" for name in ("scan", "texts")]
    asked = [folder, "--json", "--rederive", "2", f"--root={made / 'raw'}", *where]
    assert verify.main([*asked, "--seed", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"][0]["rederived"] == 2


lines = st.lists(st.integers(1, 30), min_size=1, max_size=8).map(
    lambda sizes: [{"name": f"n{i}", "samples": size} for i, size in enumerate(sizes)]
)


@given(lines, st.integers(1, 100), st.integers(0, 5))
def test_the_choice_is_spread_over_the_shards(some, number, seed):
    chosen = choose(some, number, seed)
    assert chosen == choose(some, number, seed)
    counts = {line["name"]: len(chosen.get(line["name"], [])) for line in some}
    assert sum(counts.values()) == min(number, sum(line["samples"] for line in some))
    for line in some:
        places = chosen.get(line["name"], [])
        assert places == sorted(set(places))
        assert set(places) <= set(range(line["samples"]))
        if (
            counts[line["name"]] < line["samples"]
        ):  # more samples are left here, so no other tar gave two more
            assert max(counts.values()) <= counts[line["name"]] + 1


def test_another_seed_chooses_others():
    some = [{"name": "n", "samples": 1000}]
    assert choose(some, 5, 0) != choose(some, 5, 1)
