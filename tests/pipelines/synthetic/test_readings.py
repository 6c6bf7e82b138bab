"""The radiologists of the CheXpert look-alike: the layout of its test set's readings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS
from cxr_vlp.pipelines.synthetic.layouts import chexpert


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    chexpert.write(folder, studies=80, seed=3, height=64)
    return folder / "chexpert"


@pytest.fixture(scope="module")
def truth(out) -> dict[str, dict[str, str]]:
    rows = table(out / "CheXpert-v1.0" / "test.csv")
    return {f"CheXpert-v1.0/{row['Path'].rpartition('/')[0]}": row for row in rows}


def cells(out: Path, reader: str, truth: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    return [
        (truth[row["Study"]][name], row[name])
        for row in table(out / "radiologists" / f"{reader}.csv")
        for name in CHEXPERT_LABELS
        if name != "No Finding"
    ]


@pytest.mark.parametrize("reader", chexpert.READERS)
def test_a_reader_has_one_row_for_each_test_study_and_is_never_uncertain(out, truth, reader):
    rows = table(out / "radiologists" / f"{reader}.csv")
    assert tuple(rows[0]) == ("Study", *CHEXPERT_LABELS)
    assert sorted(row["Study"] for row in rows) == sorted(truth)
    assert {row[name] for row in rows for name in CHEXPERT_LABELS} == {"0.0", "1.0"}


@pytest.mark.parametrize("reader", chexpert.READERS)
def test_a_reader_misses_some_findings_and_sees_a_few_too_many(out, truth, reader):
    said = cells(out, reader, truth)
    hits = [called == "1.0" for true, called in said if true == "1.0"]
    alarms = [called == "1.0" for true, called in said if true == "0.0"]
    assert 0.5 < sum(hits) / len(hits) < 1
    assert 0 < sum(alarms) / len(alarms) < 0.1


def test_readers_differ_and_none_says_no_finding_beside_a_finding(out):
    read = {name: table(out / "radiologists" / f"{name}.csv") for name in chexpert.READERS}
    assert len({str(rows) for rows in read.values()}) == len(read)
    for row in (row for rows in read.values() for row in rows):
        found = [n for n in CHEXPERT_LABELS if row[n] == "1.0"]
        assert ("No Finding" in found) == (not set(found) - {"No Finding", "Support Devices"})


def test_the_same_seed_gives_the_same_readings(out, tmp_path):
    chexpert.write(tmp_path, studies=80, seed=3, height=64)
    for name in chexpert.READERS:
        own = tmp_path / "chexpert" / "radiologists" / f"{name}.csv"
        assert own.read_bytes() == (out / "radiologists" / f"{name}.csv").read_bytes()
