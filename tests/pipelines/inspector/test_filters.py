"""The filters: the condition they make finds what a plain loop over the rows finds."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.cards.sample_table import LABEL, SCHEMA
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.inspector import choices, command_lines
from cxr_vlp.pipelines.inspector.filters import FilterError, Filters
from cxr_vlp.pipelines.inspector.pages import Tile, labels_of
from cxr_vlp.pipelines.inspector.results import Results, neighbours, page_of
from cxr_vlp.pipelines.selection import query

LABELS = ("Edema", "Pleural Effusion", "No Finding", "Lung Opacity")


def passes(row, filters):
    """Return whether a row passes the filters, without SQL."""
    for name in ("dataset", "split", "view"):
        if filters.all(name) and row[name] not in filters.all(name):
            return False
    sexes = ["" if sex == "unknown" else sex for sex in filters.all("sex")]
    if sexes and row["sex"] not in sexes:
        return False
    if filters.all("status") and Tile(row).status not in filters.all("status"):
        return False
    for name, column in (("devices", "devices"), ("change", "changes"), ("boxes", "boxes")):
        if filters.one(name) and (row[column] > 0) != (filters.one(name) == "yes"):
            return False
    if filters.one("age_from") and not (row["age"] or -1) >= int(filters.one("age_from")):
        return False
    held = dict(labels_of(row))
    asked = {}
    for pair in filters.all("label"):
        name, _, value = pair.rpartition(":")
        asked.setdefault(name, []).append(value)
    values = {name: str(held.get(name, "null")) for name in asked}
    return all(values[name] in asked[name] for name in asked)


PAIRS = st.one_of(
    st.tuples(st.just("dataset"), st.sampled_from(["mimic", "nih", "openi", "chexpert", "it's"])),
    st.tuples(st.just("split"), st.sampled_from(["train", "validate", "test"])),
    st.tuples(st.just("view"), st.sampled_from(["frontal", "lateral", "unknown"])),
    st.tuples(st.just("sex"), st.sampled_from(["F", "M", "unknown"])),
    st.tuples(
        st.just("status"),
        st.sampled_from(["abnormal", "uncertain", "normal", "nonfinding", "none"]),
    ),
    st.tuples(st.sampled_from(["devices", "change", "boxes"]), st.sampled_from(["yes", "no"])),
    st.tuples(st.just("age_from"), st.integers(1, 99).map(str)),
    st.tuples(
        st.just("label"),
        st.builds(
            "{}:{}".format, st.sampled_from(LABELS), st.sampled_from(["1", "0", "-1", "null"])
        ),
    ),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pairs=st.lists(PAIRS, max_size=4))
def test_filters_find_what_a_loop_finds(session, pairs):
    filters = Filters.of(pairs)
    opened = session.now.opened
    rows = opened.table.to_pylist()
    expected = [place for place, row in enumerate(rows) if passes(row, filters)]
    assert session.now.results.of(filters).places.tolist() == expected


@pytest.mark.parametrize(
    "pairs",
    [
        [("split", "train"), ("label", "Edema:1"), ("label", "Edema:null"), ("view", "frontal")],
        [("where", "age > 40 or sex = 'F' -- a comment with 'quotes'"), ("split", "train")],
        [("where", "\"Pleural Effusion\" = 1\n or key like '%$HOME`x`!%'")],
        [("where", '- 1 < coalesce("Edema", 0)'), ("status", "abnormal"), ("sex", "unknown")],
    ],
)
def test_the_command_line_selects_what_is_shown(session, pairs):
    filters = Filters.of(pairs)
    shown = session.now.results.of(filters).places
    assert len(shown)
    line = command_lines.select(Path("data/my sets"), filters.condition, keys=False)
    words = shlex.split(line)
    assert words[:3] == ["cxr-vlp", "select", "data/my sets"]
    (where,) = (word for word in words if word.startswith("--where="))
    found = query.matching(session.now.opened.table, where.removeprefix("--where="))
    keys = session.now.opened.table.column("key").take(pa.array(shown))
    assert found.column("key").to_pylist() == keys.to_pylist()


def test_a_path_that_begins_with_a_dash_is_no_flag():
    words = shlex.split(command_lines.select(Path("-x"), "", keys=False))
    assert words[2] == "./-x"


def test_a_condition_cannot_end_its_brackets(session):
    filters = Filters.of([("split", "test"), ("where", "true) or (true")])
    with pytest.raises(ConfigError):
        session.now.results.of(filters)


@pytest.mark.parametrize(
    "condition",
    [
        "key in (select content from read_text('/etc/hostname'))",
        "exists (select * from read_csv('/etc/passwd'))",
        "key = getenv('HOME')",
        "true; copy (select 1) to '/tmp/x'",
    ],
)
def test_a_condition_reads_no_file(session, condition):
    with pytest.raises(ConfigError):
        session.now.results.of(Filters.of([("where", condition)]))


@pytest.mark.parametrize(
    "pair",
    [("status", "sick"), ("label", "Edema:2"), ("label", "Edema"), ("age_from", "1 or 1"),
     ("devices", "1")],
)  # fmt: skip
def test_a_value_that_is_none_of_the_filter_is_refused(pair):
    with pytest.raises(FilterError):
        _ = Filters.of([pair]).condition


def rows(*others):
    blank = {"labels_other": [], "notes": [], "split": "train", "sentences": 0}
    made = [blank | {"key": f"k{i}", "labels_other": o} for i, o in enumerate(others)]
    return pa.Table.from_pylist(made, schema=SCHEMA)


@pytest.mark.parametrize("name", ["Support (tube)", 'it\'s "odd"', "view", "Côté gauche", "edema"])
def test_labels_with_odd_names_are_filtered(name):
    held = ([{"name": name, "value": 1}], [{"name": name, "value": -1}], [])
    results = Results(rows(*held), lambda words, column: None)
    for value, place in (("1", 0), ("-1", 1), ("null", 2)):
        found = results.of(Filters.of([("label", f"{name}:{value}")])).places
        assert found.tolist() == [place]


def test_labels_that_differ_by_case_are_not_mixed_up():
    held = ([{"name": "Scar", "value": 1}], [{"name": "scar", "value": 1}], [])
    results = Results(rows(*held), lambda words, column: None)
    for name, place in (("Scar", 0), ("scar", 1)):
        assert results.of(Filters.of([("label", f"{name}:1")])).places.tolist() == [place]


def test_studies_and_patients_are_counted_within_their_collection():
    made = [("a", "p", "s"), ("a", "p", "s"), ("a", "p", "t"), ("b", "p", "s"), ("a", "q", "s")]
    blank = {"labels_other": [], "notes": [], "split": "train", "sentences": 0}
    table = pa.Table.from_pylist(
        [blank | dict(zip(("dataset", "patient", "study"), ids, strict=True)) for ids in made],
        schema=SCHEMA,
    )
    results = Results(table, lambda words, column: np.array([1, 2, 4]))
    every, some = results.of(Filters()), results.of(Filters.of([("q", "x")]))
    assert (every.studies, every.patients) == (4, 3)
    assert (some.studies, some.patients) == (3, 2)
    assert some.places.tolist() == [1, 2, 4]


def test_the_choices_count_all_samples(session):
    now = session.now
    rows_of = now.opened.table.to_pylist()
    for name in ("dataset", "split", "view"):
        for value, number in now.choices.of[name]:
            assert number == sum(row[name] == value for row in rows_of)
    for status, number in now.choices.of["status"]:
        assert number == sum(Tile(row).status == status for row in rows_of)
    edema = [row[f"{LABEL}Edema"] for row in rows_of]
    assert now.choices.labels["Edema"]["null"] == edema.count(None)
    assert now.choices.labels["Edema"]["1"] == edema.count(1)


def test_choices_of_an_empty_table_are_empty():
    found = choices.of(SCHEMA.empty_table())
    assert found.labels == {}
    assert not found.has_reports


def test_a_sample_outside_the_selection_still_has_neighbours(session):
    places = session.now.results.of(Filters.of([("split", "train")])).places
    at = int(places[3])
    assert neighbours(places, at) == (4, int(places[2]), int(places[4]))
    assert neighbours(places, int(places[-1])) == (len(places), int(places[-2]), None)
    gap = next(i for i in range(int(places[-1])) if i > places[0] and i not in places)
    number, before, after = neighbours(places, gap)
    assert number == 0
    assert before < gap < after


def test_pages_hold_all_samples_once(session):
    places = session.now.results.of(Filters()).places
    pages = [page_of(places, n, 60).tolist() for n in range(1, 1 + -(-len(places) // 60))]
    assert [place for page in pages for place in page] == list(range(len(places)))
