"""The strict CSV reader: every fault gives file and line, and no cell in the message."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import csv_tables

GOOD = "study_id,text\n50000001,NA\n50000002,None\n"


def read(folder: Path, content: bytes, name: str = "t.csv", **options) -> list[dict[str, str]]:
    path = folder / name
    path.write_bytes(content)
    lines = list(csv_tables.read(path, ("study_id", "text"), **options))
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
def test_cells_stay_text(tmp_path, content, name):
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
def test_a_broken_table_stops_with_a_code_and_without_its_content(tmp_path, content, code):
    with pytest.raises(DataError, match=code) as error:
        read(tmp_path, content)
    assert "SECRET" not in str(error.value)


def codes(folder: Path, content: bytes, name: str = "t.csv") -> list[tuple[int, str]]:
    """Return (line number, code) of every row; the code of a good one is ""."""
    path = folder / name
    path.write_bytes(content)
    return [(line.number, line.code) for line in csv_tables.read(path, ("study_id", "text"))]


HEAD = b"study_id,text\n"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        pytest.param(b"2,b,c", "csv.ragged", id="too-long"),
        pytest.param(b"2", "csv.ragged", id="too-short"),
        pytest.param(b'2,"b', "csv.quote", id="quote-never-ends"),
        pytest.param(b'2,"b"c', "csv.quote", id="text-behind-a-quote"),
        pytest.param("2,\u00e9".encode("latin-1"), "csv.encoding", id="latin-1"),
        pytest.param(b"2,b\0", "csv.encoding", id="nul"),
        pytest.param(b"2," + b"b" * (csv_tables.CELL + 1), "csv.cell_too_long", id="cell"),
        pytest.param(b"2," + b"b" * csv_tables.LINE, "csv.row_too_long", id="line"),
    ],
)
def test_one_bad_row_is_named_by_its_line_and_the_rows_around_it_are_kept(tmp_path, row, code):
    found = codes(tmp_path, HEAD + b"1,a\n" + row + b"\n" + b"3,c\n4,d\n5,e\n" * 9)
    assert (2, "") in found
    assert (3, code) in found
    assert sum(not code for _, code in found) == 1 + 27
    assert {c for _, c in found} <= {"", code, "csv.ragged"}


def test_a_cell_of_200_kilobytes_is_read(tmp_path):
    assert read(tmp_path, HEAD + b"1," + b"a" * 200_000 + b"\n")[0]["text"] == "a" * 200_000


def test_a_table_with_mostly_bad_rows_stops_early(tmp_path):
    with pytest.raises(DataError, match=r"csv\.ragged: t\.csv, line 3"):
        codes(tmp_path, HEAD + b"1,a\n" + b"SECRET,,\n" * 5000)


def test_one_bad_row_of_two_does_not_stop_the_reader(tmp_path):
    assert codes(tmp_path, HEAD + b"1,a\n2\n") == [(2, ""), (3, "csv.ragged")]


def test_rows_over_several_lines_keep_their_first_lines_number(tmp_path):
    found = codes(tmp_path, HEAD + b'1,"a\nb\nc"\n2\n3,d\n')
    assert found == [(2, ""), (5, "csv.ragged"), (6, "")]


@pytest.mark.parametrize(
    ("content", "name"),
    [(gzip.compress(GOOD.encode()), "t.csv"), (GOOD.encode(), "t.csv.gz"),
     (GOOD.replace("\n", "\r").encode(), "t.csv")],
    ids=["gzip-without-its-suffix", "unpacked-by-the-browser", "carriage-returns-alone"],
)  # fmt: skip
def test_the_content_decides_whether_a_table_is_compressed(tmp_path, content, name):
    assert [row["text"] for row in read(tmp_path, content, name)] == ["NA", "None"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(GOOD.encode("utf-16"), "csv.encoding: .*UTF-16"), (b"PK\x03\x04", "csv.header: .*zip"),
     (GOOD.encode("utf-16-le"), "csv.encoding"), (b"\x1f\x8b junk", "csv.gzip"),
     (gzip.compress(GOOD.encode())[:-9], "csv.gzip"), (b"<!doctype html>\n<p>", "csv.header"),
     (b"\0" * 5000, "csv.encoding")],
    ids=["utf-16", "zip", "utf-16-without-mark", "gzip-junk", "gzip-cut", "login-page", "zeros"],
)  # fmt: skip
def test_a_file_that_is_not_a_table_stops_with_a_code(tmp_path, content, code):
    with pytest.raises(DataError, match=code):
        codes(tmp_path, content, "t.csv.gz")


def test_a_fifo_in_place_of_a_table_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"csv\.not_file"):
        list(csv_tables.read(tmp_path / "t.csv", ("a",)))


@pytest.mark.parametrize(("times", "stops"), [(1 << 21, False), (1 << 23, True)])
def test_a_gzip_bomb_is_refused_before_a_row_is_read(tmp_path, times, stops):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(HEAD + b"1,a\n" * times))  # of 8 and of 32 MB
    if stops:
        with pytest.raises(DataError, match=r"csv\.bomb"):
            next(csv_tables.read(path, ("study_id",)))
    else:
        assert next(csv_tables.read(path, ("study_id",))).number == 2


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


def test_repeated_rows_count_once_and_contradicting_rows_are_refused():
    row = {"a": "1", "b": "2"}
    assert csv_tables.sole_row([row, dict(row)], ("a", "b")) == (row, 1)
    assert csv_tables.sole_row([row, {"a": "1.0", "b": " 2"}], ("a", "b")) == (row, 1)
    assert csv_tables.sole_row([], ("a",)) == (None, 0)
    with pytest.raises(IngestError, match=r"csv\.conflict"):
        csv_tables.sole_row([row, {"a": "1", "b": "3"}], ("a", "b"))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8))
def test_any_text_is_read_back_or_stops_the_reader(tmp_path_factory, cells):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="", errors="surrogatepass") as stream:
        try:
            csv.writer(stream).writerows([("study_id", "text"), *cells])
        except csv.Error:
            return
    try:
        rows = list(csv_tables.read(path, ("study_id", "text")))
    except DataError:
        return
    assert all(line.code or set(line.row) == {"study_id", "text"} for line in rows)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GOOD + ",\n" * 9, id="rows-of-commas-at-the-end"),
        pytest.param(GOOD + ",,,,,\n   \n", id="more-commas-than-columns-and-blanks"),
        pytest.param(GOOD.replace("\n", "\n  ,\t\n", 2), id="in-the-middle"),
        pytest.param(GOOD + GOOD, id="two-files-joined"),
        pytest.param(GOOD.replace("\n", ",,\n"), id="trailing-commas-of-a-spreadsheet"),
        pytest.param("".join(f",{x}\n" for x in GOOD.splitlines()), id="index-without-a-name"),
    ],
)
def test_blank_rows_and_columns_of_a_spreadsheet_are_skipped(tmp_path, content):
    rows = read(tmp_path, content.encode())
    assert {row["text"] for row in rows} == {"NA", "None"}


def test_columns_are_found_in_upper_and_lower_case(tmp_path):
    rows = read(tmp_path, GOOD.replace("study_id,text", "STUDY_ID,Text,VIEW").replace("NA", "NA,PA")
                .replace("None", "None,AP").encode(), optional=("View",))  # fmt: skip
    assert [row["View"] for row in rows] == ["PA", "AP"]
    with pytest.raises(DataError, match=r"csv\.duplicate_column"):
        read(tmp_path, b"study_id,text,view,VIEW\n1,a,b,c\n", optional=("View",))


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_the_message_names_another_separator(tmp_path, mark, word):
    with pytest.raises(DataError, match=rf"csv\.header: .*separated by {word}"):
        read(tmp_path, GOOD.replace(",", mark).encode())


@pytest.mark.parametrize(
    ("header", "stops"),
    [("ID,Word,x", False), ("id, WORD,y", False), ("Word,ID,x", True), (",ID,Word", True)],
)
def test_columns_by_position_must_be_in_the_published_order(tmp_path, header, stops):
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n1,2,3\n")
    lines = csv_tables.read(path, "abc", "abc", stated=("ID", "Word"))
    if stops:
        with pytest.raises(DataError, match=r"csv\.header: t\.csv: column 1 is not 'ID'"):
            list(lines)
    else:
        assert [line.row for line in lines] == [{"a": "1", "b": "2", "c": "3"}]
