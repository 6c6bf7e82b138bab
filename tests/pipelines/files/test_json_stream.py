"""An object of many entries: each is read alone, from its place, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import json_stream

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.dictionaries(st.text(max_size=5), LEAVES | st.lists(LEAVES, max_size=3), max_size=3)


def laid(folder: Path, data: str | bytes) -> Path:
    path = folder / "studies.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@given(
    st.dictionaries(st.text(max_size=6), VALUES, max_size=5),
    st.sampled_from([None, 0, 4]),
    st.booleans(),
)
def test_the_entries_are_those_of_the_object_and_stand_at_their_places(
    tmp_path_factory, content, indent, is_ascii
):
    text = json.dumps(content, indent=indent, ensure_ascii=is_ascii)
    path = laid(tmp_path_factory.getbasetemp(), text.encode("utf-8", "surrogatepass"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half of a surrogate is no UTF-8 text
    found = list(json_stream.entries(path))
    assert [(entry.key, entry.value) for entry in found] == list(content.items())
    for entry in found:
        assert json_stream.entry_at(path, entry.start, entry.size) == entry.value
        assert path.read_bytes()[: entry.start].count(b"\n") == entry.line - 1


@pytest.mark.parametrize("block", [1, 2, 3, 7, 50])
def test_an_entry_that_begins_in_one_block_and_ends_in_another(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_stream, "_BLOCK", block)
    content = {"é": {"a": "x\u2028y", "b": [1, 2.5, None]}, "b": {}, "c": {"d": "\U0001f600"}}
    path = laid(tmp_path, "\ufeff" + json.dumps(content, ensure_ascii=False, indent=2))
    found = list(json_stream.entries(path))
    assert {entry.key: entry.value for entry in found} == content
    assert all(json_stream.entry_at(path, e.start, e.size) == e.value for e in found)


GOOD = '{\n"a": {"n": 1},\n"b": {"n": 2}\n}\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1), ("[]", 1), ("{", 1), (GOOD[:-3], 3), (GOOD[:20], 3), (GOOD + "x", 5),
        (GOOD.replace("2}", "}"), 3), (GOOD.replace(',\n"b"', '\n"b"'), 3), ('{"a": 1}', 1),
        ('{"a": {},}', 1), (GOOD.replace("a", "\x00"), 2), ('{"a": {"b": ' + "[" * 99_999, 1),
    ],
)  # fmt: skip
def test_a_file_that_is_cut_or_another_thing_stops_with_its_line(tmp_path, text, line):
    text = text.replace("\x00", "\\u00")
    with pytest.raises(DataError, match=rf"json\.broken: studies\.json, line {line}:.*download"):
        list(json_stream.entries(laid(tmp_path, text)))


def test_text_that_is_not_utf8_stops(tmp_path):
    with pytest.raises(DataError, match=r"json\.broken"):
        list(json_stream.entries(laid(tmp_path, b'{"a": {"b": "\xff"}}')))


@pytest.mark.parametrize(("size", "fits"), [(json_stream.ENTRY // 2, True), (5 << 20, False)])
def test_an_entry_of_megabytes_is_no_study(tmp_path, size, fits):
    path = laid(tmp_path, json.dumps({"a": {"b": "x" * size}, "c": {"d": "y" * 2 * size}}))
    if fits:
        assert len(list(json_stream.entries(path))) == 2
    else:
        with pytest.raises(DataError, match=r"json\.broken"):
            list(json_stream.entries(path))


def test_a_place_that_holds_another_thing_now(tmp_path):
    path = laid(tmp_path, GOOD)
    first, _ = json_stream.entries(path)
    assert json_stream.entry_at(path, first.start + 1, first.size) is None
    assert json_stream.entry_at(path, 1 << 40, 5) is None
    assert json_stream.entry_at(path, first.start, 0) is None
    assert json_stream.entry_at(tmp_path / "gone.json", 0, 5) is None


def test_a_folder_or_a_file_that_is_gone_stops_with_its_code(tmp_path):
    with pytest.raises(DataError, match=r"json\.not_file"):
        list(json_stream.entries(tmp_path))
    with pytest.raises(DataError, match=r"json\.unreadable"):
        list(json_stream.entries(tmp_path / "gone.json"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(number: int) -> int:
        studies = {f"study{n}": {"Findings": "The lungs are clear. " * 40} for n in range(number)}
        path = laid(tmp_path, json.dumps(studies))
        del studies
        tracemalloc.start()
        for _ in json_stream.entries(path):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(12_000) < 1.5 * peak(3_000)
