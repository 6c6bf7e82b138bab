"""A document of many objects: each is read alone, from its place, in bounded memory."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import json_entries, places

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-99, 99) | TEXT
OBJECTS = st.dictionaries(TEXT, LEAVES | st.lists(LEAVES, max_size=3), max_size=3)
OF_OBJECT = st.dictionaries(TEXT, OBJECTS, max_size=5)
OF_LISTS = st.dictionaries(TEXT, st.lists(OBJECTS, max_size=4), max_size=4)
LISTS, OBJECT = json_entries.of_lists, json_entries.of_object


def laid(folder: Path, data: str | bytes) -> Path:
    path = folder / "studies.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@given(
    st.tuples(st.just(OBJECT), OF_OBJECT) | st.tuples(st.just(LISTS), OF_LISTS),
    st.sampled_from([None, 0, 4]), st.booleans(), st.booleans(), st.integers(1, 40),
)  # fmt: skip
def test_the_entries_are_those_of_the_document_and_stand_at_their_places(
    tmp_path_factory, form, indent, is_ascii, bom, block
):
    read, content = form
    text = json.dumps(content, indent=indent, ensure_ascii=is_ascii)
    path = laid(tmp_path_factory.getbasetemp(), b"\xef\xbb\xbf" * bom + text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_entries, "BLOCK", block)  # objects end anywhere in a block
        found = list(read(path))
    wanted = [
        (key, value)
        for key, values in content.items()
        for value in (values if read is LISTS else [values])
    ]
    assert [(entry.key, entry.value) for entry in found] == wanted
    assert [entry.number for entry in found] == list(range(1, len(wanted) + 1))
    for entry in found:
        assert json_entries.at(places.read(path, places.name(entry.start, entry.size))) == (
            entry.value
        )


def test_a_line_break_in_a_text_is_no_reason_to_lose_the_file(tmp_path):
    [entry] = OBJECT(path := laid(tmp_path, '{"a": {"b": "one\ntwo"}}'))
    assert entry.value == {"b": "one\ntwo"}
    assert json_entries.at(places.read(path, places.name(entry.start, entry.size))) == entry.value


GOOD = {
    LISTS: '{"train": [{"id": "a"}, {"id": "b"}], "val": []}',
    OBJECT: '{\n"a": {"n": 1},\n"b": {"n": 2}\n}',
}


@pytest.mark.parametrize(
    ("read", "end"), [(read, end) for read, text in GOOD.items() for end in range(len(text))]
)
def test_a_document_that_is_cut_anywhere_stops(tmp_path, read, end):
    with pytest.raises(DataError, match=r"json\.broken: studies\.json, near byte .*: .*download"):
        list(read(laid(tmp_path, GOOD[read][:end])))


@pytest.mark.parametrize("read", GOOD)
@pytest.mark.parametrize(
    "text",
    ["<html>please log in</html>", "[1, 2]", '{"train": 1}', GOOD[LISTS] + "x", GOOD[OBJECT] + "x",
     '{"a": [1 2]}', '{"a": [1]; "b": []}', '{1: []}', '{"a": [' + "[" * 99_999,
     '{"a": {"b": ' + "[" * 99_999, '{"a": {} "b": {}}', '{"\\u00": {}}', '{"a": {"n": }}'],
)  # fmt: skip
def test_another_document_stops_and_is_not_quoted(tmp_path, read, text):
    with pytest.raises(DataError, match=r"json\.broken") as error:
        list(read(laid(tmp_path, text)))
    assert "log in" not in str(error.value)


def test_the_form_of_the_document_is_told(tmp_path):
    with pytest.raises(DataError, match="byte 8: is not an object of lists"):
        list(LISTS(laid(tmp_path, '{"abc": {}}')))
    with pytest.raises(DataError, match="byte 8: is not an object of objects"):
        list(OBJECT(laid(tmp_path, '{"abc": [1]}')))


def test_text_that_is_not_utf8_stops(tmp_path):
    with pytest.raises(DataError, match=r"json\.broken.*UTF-8"):
        list(OBJECT(laid(tmp_path, b'{"a": {"b": "\xff"}}')))


@pytest.mark.parametrize(("size", "fits"), [(json_entries.LONGEST // 2, True), (5 << 20, False)])
def test_an_entry_of_megabytes_is_no_study(tmp_path, size, fits):
    path = laid(tmp_path, json.dumps({"a": {"b": "x" * size}, "c": {"d": "y" * size}}))
    if fits:
        assert len(list(OBJECT(path))) == 2
    else:
        with pytest.raises(DataError, match=r"json\.broken"):
            list(OBJECT(path))


def test_an_object_without_end_is_not_read_into_memory(tmp_path):
    path = laid(tmp_path, '{"train": [{"report": "' + "x" * (40 << 20))
    tracemalloc.start()
    with pytest.raises(DataError, match="no JSON there"):
        list(LISTS(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 6 * json_entries.LONGEST


def test_bytes_that_are_no_object_any_more_are_an_unreadable_report():
    for data in (b'{"report": ', b'{"a": "\xff"}'):
        with pytest.raises(IngestError, match=r"report\.unreadable"):
            json_entries.at(data)


@pytest.mark.parametrize("read", GOOD)
def test_what_is_no_plain_file_stops_with_its_code(tmp_path, read):
    os.mkfifo(tmp_path / "fifo.json")
    for name in (".", "fifo.json"):
        with pytest.raises(DataError, match=r"json\.not_file"):
            list(read(tmp_path / name))
    with pytest.raises(DataError, match=r"json\.unreadable"):
        list(read(tmp_path / "gone.json"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(number: int) -> int:
        studies = {f"study{n}": {"Findings": "The lungs are clear. " * 40} for n in range(number)}
        path = laid(tmp_path, json.dumps(studies))
        del studies
        tracemalloc.start()
        for _ in OBJECT(path):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(12_000) < 1.5 * peak(3_000)
