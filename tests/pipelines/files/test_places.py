"""Rows and JSON objects are read again from their places, alone, and as they were listed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile

import pytest
from archiving import tarred, zipped
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import archives, csv_tables, paths, places
from cxr_vlp.pipelines.sources import placed

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = ("id", "text")


def table(rows, end: str) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([NAMES, *rows])
    return stream.getvalue().encode()


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.sampled_from(["\n", "\r\n"]),
       st.booleans(), st.booleans())  # fmt: skip
def test_a_row_is_read_again_from_its_place(tmp_path_factory, rows, end, bom, packed):
    path = tmp_path_factory.mktemp("t") / f"t.csv{'.gz' if packed else ''}"
    data = b"\xef\xbb\xbf" * bom + table(rows, end)
    path.write_bytes(gzip.compress(data) if packed else data)
    for line in csv_tables.read(path, NAMES):
        assert not line.code
        with places.opened(path) as stream:
            assert csv_tables.row_in(stream, path.name, line.place, NAMES) == line.row


@pytest.mark.parametrize(
    "bad",
    [b'x,"open\n', b"x\n", b"x,\xff\n", b"x," + b"y" * (csv_tables.LINE + 9) + b"\n"],
    ids=["quote", "ragged", "not-utf-8", "too-long"],
)
def test_bad_rows_before_it_do_not_move_a_place(tmp_path, bad):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n" + bad + "1,é\n2,b\n".encode())
    good = [line for line in csv_tables.read(path, NAMES) if not line.code]
    assert [line.row["text"] for line in good] == ["é", "b"]
    for line in good:
        with places.opened(path) as stream:
            assert csv_tables.row_in(stream, path.name, line.place, NAMES) == line.row


@pytest.mark.parametrize("place", ["", "1", "0+99", "-1+2", "0+1+2", "9999+1"])
def test_a_place_that_the_file_does_not_have_is_refused(tmp_path, place):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n1,a\n")
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        places.read(path, place)
    assert (places.start_of("7+99"), places.start_of("7")) == (7, 7)
    assert places.start_of("files/p10.txt") is None


def test_a_gz_that_was_replaced_is_unpacked_again(tmp_path):
    path = tmp_path / "t.csv.gz"
    for text in (b"first", b"other"):
        path.with_suffix(".new").write_bytes(gzip.compress(text))
        path.with_suffix(".new").replace(path)
        assert places.read(path, "0+5") == text


def test_a_broken_gz_is_an_unreadable_report(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"text" * 999)[:-12])
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        places.read(path, "0+5")


@pytest.mark.parametrize("place", ["10", "999"])
def test_a_row_that_is_no_longer_there_is_an_unreadable_report(tmp_path, place):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n1,2,3\n")
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        placed.row(path, "8", NAMES)
    path.write_bytes(b"id,text\n1,2\n")
    assert placed.row(path, "8", NAMES) == {"id": "1", "text": "2"}
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        placed.row(path, place, NAMES)


def test_two_readers_of_one_gz_keep_their_own_places(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"abcdefgh"))
    with places.opened(path) as one, places.opened(path) as two:
        one.seek(4)
        assert (two.read(2), one.read(2)) == (b"ab", b"ef")


@pytest.mark.parametrize("kind", ["stored", "deflated", "tar"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_a_place_in_an_archive_is_read_as_in_a_file(tmp_path, kind, pack):
    content = json.dumps({"a": {"text": "y"}, "b": {"text": "x" * 9}}).encode()
    start, data = content.index(b'{"text": "x'), pack(content)
    if kind == "tar":
        tarred(tmp_path / "data.tar", {"t.json": data})
    else:
        method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
        zipped(tmp_path / "data.zip", {"t.json": data}, method)
    path = paths.inside(tmp_path, f"data.{'tar' if kind == 'tar' else 'zip'}/t.json")
    assert places.read(path, f"{start}+21") == b'{"text": "xxxxxxxxx"}'


def test_a_deflated_member_is_unpacked_once_for_all_places_in_it(tmp_path, monkeypatch):
    zipped(tmp_path / "data.zip", {"t.json": b"0123456789" * 9})
    path = paths.inside(tmp_path, "data.zip/t.json")
    assert places.read(path, "3+2") == b"34"
    monkeypatch.setattr(archives.Member, "open", lambda *_: pytest.fail("it was unpacked again"))
    assert places.read(path, "85+2") == b"56"


def test_a_place_is_read_though_other_files_took_the_cache(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"0123456789"))
    stream = places.opened(tmp_path / "t.csv.gz")
    places._unpacked.cache_clear()
    with (tmp_path / "other").open("wb+") as other:  # may get the number of a file that was closed
        other.write(b"x" * 99)
        other.flush()
        stream.seek(-7, 2)
        assert stream.read(2) == b"34"
