"""A condition finds the rows that plain Python finds, and reaches nothing but the table."""

from __future__ import annotations

import operator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.selection import query


def table(*rows: dict) -> pa.Table:
    """Return a table of samples; what a row does not give is null."""
    empty = {"labels_other": []}
    full = [empty | {"key": f"k{i}"} | row for i, row in enumerate(rows)]
    return pa.Table.from_pylist(full, schema=sample_table.SCHEMA)


def found(rows: pa.Table, where: str) -> list[str]:
    return query.matching(rows, where).column("key").to_pylist()


COMPARISONS = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, ">=": operator.ge}
FIELDS = {
    "age": ("age", st.integers(0, 90)),
    "Edema": ("label_Edema", st.integers(-1, 1)),
    '"pleural effusion"': ("label_Pleural Effusion", st.integers(-1, 1)),
}
ROWS = st.fixed_dictionaries(
    {name: st.none() | values for name, values in FIELDS.values()}
    | {"view": st.sampled_from(["frontal", "lateral", "o'clock", 'a"b', "é"])}
)
ATOMS = st.one_of(
    st.tuples(st.sampled_from(sorted(FIELDS)), st.sampled_from(sorted(COMPARISONS)),
              st.integers(-1, 90)),
    st.tuples(st.just("view"), st.just("="), st.sampled_from(["frontal", "o'clock", 'a"b', "é"])),
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner), st.tuples(inner, st.sampled_from(["and", "or"]), inner)
    ),
    max_leaves=6,
)


def written(condition: tuple) -> str:
    """Return a condition as SQL."""
    if condition[0] == "not":
        return f"NOT ({written(condition[1])})"
    left, word, right = condition
    if word in ("and", "or"):
        return f"({written(left)}) {word} ({written(right)})"
    value = "'" + right.replace("'", "''") + "'" if isinstance(right, str) else str(right)
    return f"{left} {word} {value}"


def holds(condition: tuple, row: dict) -> bool | None:
    """Return what a condition is of a row, None for unknown (three-valued logic)."""
    if condition[0] == "not":
        inner = holds(condition[1], row)
        return None if inner is None else not inner
    left, word, right = condition
    if word in ("and", "or"):
        both = [holds(left, row), holds(right, row)]
        decisive = word == "or"
        if decisive in both:
            return decisive
        return None if None in both else not decisive
    value = row[FIELDS[left][0] if left in FIELDS else left]
    return None if value is None else COMPARISONS[word](value, right)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=8), condition=CONDITIONS)
def test_a_condition_finds_what_plain_python_finds(rows, condition):
    wanted = [f"k{i}" for i, row in enumerate(rows) if holds(condition, row) is True]
    assert found(table(*rows), written(condition)) == wanted


@pytest.mark.parametrize("name", ["it's", 'an "odd" one', "Zyste – links", "a;--", "{}", "%s"])
def test_a_further_label_of_any_name_has_a_column(name):
    rows = table(
        {"labels_other": [{"name": name, "value": 1}]},
        {"labels_other": [{"name": name, "value": 0}, {"name": "other", "value": 1}]},
        {},
    )
    quoted = '"' + name.replace('"', '""') + '"'
    assert found(rows, f"{quoted} = 1") == ["k0"]
    assert found(rows, f"{quoted} IS NULL") == ["k2"]


@pytest.mark.parametrize("name", ["key", "edema", "SEX", "__place"])
def test_a_further_label_does_not_hide_a_column(name):
    rows = table({"labels_other": [{"name": name, "value": 1}], "label_Edema": 0, "sex": "F"})
    assert found(rows, "key = 'k0' and Edema = 0 and sex = 'F'") == ["k0"]


def test_labels_that_differ_in_case_alone_are_not_taken_for_each_other():
    rows = table(
        {"labels_other": [{"name": "Scar", "value": 1}]},
        {"labels_other": [{"name": "scar", "value": 1}]},
    )
    with pytest.raises(ConfigError, match="not found"):
        query.matching(rows, '"scar" = 1')
    asked = "len(list_filter(labels_other, lambda x: x.name = 'scar' and x.value = 1)) > 0"
    assert found(rows, asked) == ["k1"]


def test_other_rows_can_be_asked_for_with_label_names():
    rows = table({"patient": "a", "label_Edema": 1}, {"patient": "a"}, {"patient": "b"})
    assert found(rows, "patient in (select patient from samples where Edema = 1)") == ["k0", "k1"]


def test_a_label_that_only_one_set_has_is_null_in_the_others():
    one, other = table({}, {}), table({"labels_other": [{"name": "Rare", "value": 1}]}, {})
    assert [t.num_rows for t in query.matching_each([one, other], "Rare = 1")] == [0, 1]
    assert [t.num_rows for t in query.matching_each([other, one, other], "Rare is null")] == [
        1,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "empty"),
        ("No Finding = 1", "double quotes"),
        ('view = "frontal"', "single quotes"),
        ("impression like '%x%'", "not in the table"),
        ("key = 'a'; drop table samples", ""),
        ("true) union select * from samples --", ""),
        ("1 = 1 order by key", ""),
        ("1 = 1 limit 1", ""),
        ("key = 'a', view = 'b'", ""),
        ("count(*) > 1", ""),
        ("age", "true nor false"),
        ("Edema", "true nor false"),
        ("patient", "true nor false"),
        ("study = 5", "cannot be computed"),
        ("key = '\udce9'", ""),
        ("(" * 1500 + "true" + ")" * 1500, ""),
        ("random() < 0.5", "--seed"),
        ("view = 'a' and RANDOM() < 0.5", "--seed"),
        ("key in (select key from samples using sample 1)", "--seed"),
        ("now() is not null", "--seed"),
        ("current_date is not null", "--seed"),
        ("uuid()::text > 'a'", "--seed"),
        ("key in (select content from read_text('/etc/hostname'))", ""),
        ("key in (select * from '/etc/hostname')", ""),
        ("key in (select filename from read_csv('/etc/*'))", ""),
    ],
)
def test_what_is_no_condition_on_the_table_is_refused_without_an_id(where, told):
    rows = table({"key": "SECRET-KEY", "patient": "SECRET-ID", "study": "SECRET-STUDY"})
    with pytest.raises(ConfigError) as refused:
        query.matching(rows, where)
    assert told in str(refused.value)
    assert "SECRET" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_variable_of_the_program_is_no_table():
    secret = pa.table({"x": ["k0"]})
    assert secret.num_rows
    with pytest.raises(ConfigError):
        found(table({}), "key in (select x from secret)")


def test_a_long_list_is_no_problem():
    words = ", ".join(f"'k{i}'" for i in range(20_000))
    assert found(table({}, {}), f"key in ({words})") == ["k0", "k1"]
