"""The strict CSV reader: every oddity stops with file and line, and no cell in the message."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import tables
from pipelines.faults import DataError, IngestError

GOOD = "study_id,text\n50000001,NA\n50000002,None\n"


def read(folder: Path, content: bytes, name: str = "t.csv", **options) -> list[dict[str, str]]:
    path = folder / name
    path.write_bytes(content)
    lines = list(tables.read(path, ("study_id", "text"), **options))
    assert not any(line.code for line in lines)
    return [line.row for line in lines]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(GOOD.encode(), "t.csv", id="plain"),
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), "t.csv", id="byte-order-mark"),
        pytest.param(GOOD.replace("\n", "\r\n").encode(), "t.csv", id="crlf"),
        pytest.param(gzip.compress(GOOD.encode()), "t.csv.gz", id="gzip"),
        pytest.param((GOOD + "\n").encode(), "t.csv", id="blank-last-line"),
    ],
)
def test_cells_stay_the_text_they_are(tmp_path, content, name):
    rows = read(tmp_path, content, name)
    assert [row["text"] for row in rows] == ["NA", "None"]  # pandas makes NaN of both


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"study_id,text\n1,SECRET,SECRET\n", "csv.ragged", id="one-field-too-long"),
        pytest.param(b"study_id,text\n1\n", "csv.ragged", id="one-field-too-short"),
        pytest.param(b"study_id,text,text\n1,a,b\n", "csv.duplicate_column", id="column-twice"),
        pytest.param(b"study_id;text\n1;SECRET\n", "csv.header", id="semicolons"),
        pytest.param(b"", "csv.header", id="empty-file"),
        pytest.param(b"1,SECRET\n2,SECRET\n", "csv.header", id="no-header"),
        pytest.param(b'study_id,text\n1,"SECRET\n', "csv.quote", id="quote-never-ends"),
        pytest.param("study_id,text\n1,SECRETé\n".encode("latin-1"), "csv.encoding", id="latin-1"),
    ],
)
def test_what_is_odd_stops_with_a_code_and_no_content(tmp_path, content, code):
    with pytest.raises(DataError, match=code) as error:
        read(tmp_path, content)
    assert "SECRET" not in str(error.value)


def test_a_cut_gzip_file_stops(tmp_path):
    whole = gzip.compress(GOOD.encode() * 5000)
    with pytest.raises(DataError, match=r"csv\.gzip"):
        read(tmp_path, whole[: len(whole) // 2], "t.csv.gz")


def test_columns_by_position_take_trailing_commas(tmp_path):
    columns = ("study_id", "text")
    rows = read(tmp_path, b"ID[a,b],,\n1,x,,\n2,y,,\n", columns=columns)
    assert rows == [{"study_id": "1", "text": "x"}, {"study_id": "2", "text": "y"}]
    with pytest.raises(DataError, match=r"csv\.ragged"):
        read(tmp_path, b"ID[a,b],\n1,x,z\n", columns=columns)


def test_rows_that_repeat_are_one_and_rows_that_contradict_are_refused():
    row = {"a": "1", "b": "2"}
    assert tables.sole([row, dict(row)], ("a", "b")) == (row, 1)
    assert tables.sole([row, {"a": "1.0", "b": " 2"}], ("a", "b")) == (row, 1)
    assert tables.sole([], ("a",)) == (None, 0)
    with pytest.raises(IngestError, match=r"csv\.conflict"):
        tables.sole([row, {"a": "1", "b": "3"}], ("a", "b"))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8))
def test_any_text_comes_back_or_stops(tmp_path_factory, cells):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="", errors="surrogatepass") as stream:
        try:
            csv.writer(stream).writerows([("study_id", "text"), *cells])
        except csv.Error:
            return
    try:
        rows = list(tables.read(path, ("study_id", "text")))
    except DataError:
        return
    assert all(line.code or set(line.row) == {"study_id", "text"} for line in rows)
