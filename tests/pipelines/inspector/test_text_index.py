"""The search of texts finds what a plain search over the JSON members finds."""

from __future__ import annotations

import json
import re
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import PATIENCE

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.inspector import text_index
from cxr_vlp.pipelines.inspector.filters import Filters
from cxr_vlp.pipelines.inspector.session import Session
from cxr_vlp.pipelines.inspector.text_index import NotReadyError, SearchError, fts_query


def documents(session):
    """Return the JSON members of all samples, read with tarfile."""
    found = {}
    for each in session.now.opened.sets:
        for path in each.folder.glob("*/*.tar"):
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.name.endswith(".json"):
                        key = member.name.removesuffix(".json")
                        found[key] = json.loads(tar.extractfile(member).read())
    return found


def ready(session):
    for index in session.now.search.indexes:
        index.start()
        index.wait(PATIENCE)


def search(session, words, column=""):
    ready(session)
    pairs = [("q", words), ("in", column)]
    places = session.now.results.of(Filters.of(pairs)).places
    return set(session.now.opened.table.column("key").take(places).to_pylist())


def holding(session, pattern, fields=("findings", "impression", "caption")):
    def texts(row):
        return "\n".join([*(row[f] for f in fields), *row["sections"].values()])

    found = documents(session)
    return {key for key, row in found.items() if re.search(pattern, texts(row), re.I)}


def test_a_word_is_found_in_reports_and_captions(session):
    found = search(session, "cardiomegaly")
    assert found >= holding(session, r"\bcardiomegaly\b")
    assert found


def test_a_phrase_is_found_in_its_order(session):
    found = search(session, '"pleural effusion"', "report")
    expected = holding(session, r"\bpleural effusions?\b", ("findings", "impression"))
    assert found == expected
    assert found


def test_a_column_and_an_excluded_word_narrow_the_search(session):
    report = search(session, "effusion", "report")
    everywhere = search(session, "effusion")
    without = search(session, "effusion -pneumothorax")
    assert report < everywhere
    assert without < everywhere
    assert without.isdisjoint(search(session, "pneumothorax"))


def test_the_beginning_of_a_word_is_found_with_a_star(session):
    assert search(session, "pneumoth*") >= search(session, "pneumothorax")


def test_names_of_findings_are_searched(session):
    rows = documents(session)
    named = {
        key
        for key, row in rows.items()
        if any(m["finding"] == "pulmonary edema" for s in row["sentences"] for m in s["mentions"])
    }
    assert search(session, '"pulmonary edema"', "findings") >= named
    assert named


@given(st.text(max_size=30))
def test_nothing_typed_breaks_the_query(words):
    import sqlite3

    data = sqlite3.connect(":memory:")
    data.execute("CREATE VIRTUAL TABLE texts USING fts5(report, caption, findings)")
    for column in ("", "report"):
        try:
            query = fts_query(words, column)
        except SearchError:
            continue
        data.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (query,)).fetchall()
    data.close()


@pytest.mark.parametrize("words", ["", "-edema", '"..."', "* - ()"])
def test_a_search_without_a_word_says_so(words):
    with pytest.raises(SearchError):
        fts_query(words)


def test_a_search_of_thousands_of_words_is_refused():
    with pytest.raises(SearchError, match="at most"):
        fts_query("a " * 6000)


def test_an_index_is_made_once_and_is_private(session):
    ready(session)
    (path, *_) = [index.path for index in session.now.search.indexes]
    before = path.stat()
    again = Session(session.folder, session.state)
    ready(again)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(before.st_mode) == 0o600


def test_the_index_holds_no_report(session):
    ready(session)
    rows = documents(session)
    sentence = max((row["findings"] for row in rows.values()), key=len).encode()[:60]
    assert all(sentence not in i.path.read_bytes() for i in session.now.search.indexes)


def test_while_an_index_is_made_the_page_shows_progress(copied, tmp_path, monkeypatch):
    made = Session(copied("openi"), tmp_path / "state")
    monkeypatch.setattr(text_index.TextIndex, "start", lambda self: None)
    with pytest.raises(NotReadyError) as progress:
        made.now.results.of(Filters.of([("q", "heart")]))
    assert progress.value.total == made.now.opened.table.num_rows


def test_a_command_that_ends_leaves_no_half_index(copied, tmp_path, monkeypatch):
    def stopped():
        raise interrupts.StoppedError

    made = Session(copied("openi"), tmp_path / "state")
    monkeypatch.setattr(interrupts, "check", stopped)
    (index,) = made.now.search.indexes
    index.start()
    made.now.search.end()
    assert not index.ready
    assert index.failure is None
    assert list(index.path.parent.iterdir()) == []


def test_samples_that_cannot_be_read_are_counted(copied, tmp_path):
    folder = copied("openi")
    made = Session(folder, tmp_path / "state")
    tar = max(folder.glob("train/*.tar"), key=lambda path: path.stat().st_size)
    with tar.open("r+b") as stream:
        stream.truncate(tar.stat().st_size // 2)
    search(made, "heart")
    table = made.now.opened.table.to_pylist()
    cut = sum(
        row["shard"] == tar.name and row["json_offset"] + row["json_bytes"] > tar.stat().st_size
        for row in table
    )
    assert made.now.search.unreadable() == cut > 0
