"""The one table of the sample's fields: it agrees with the engine, and every value fits or not."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from breaking import restate
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.nlp import labels, lexicon
from cxr_vlp.nlp.findings import mentions
from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.config import Shards, build
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import schema
from cxr_vlp.pipelines.stages.sample_members import split_labels


def test_a_mention_has_the_fields_of_the_engines():
    assert list(schema.MENTION.fields) == [f.name for f in dataclasses.fields(mentions.Mention)]


def test_sections_are_all_that_a_report_is_cut_into():
    cut = {*lexicon.load("headings"), "preamble", "body"} - {"findings", "impression", "summary"}
    assert set(schema.SECTIONS) == cut  # a summary is read as an impression, or as the end
    with pytest.raises(
        ConfigError,
        match=r"shards\.sections\[0\]: expected one of indication.*did you mean indication",
    ):
        build(Shards, {"sections": ["indications"]}, "shards")


def test_label_names_are_those_of_the_three_sets():
    sets = (labels.CHEXPERT14, labels.CHESTXRAY14, labels.VINDR)
    assert set(schema.LABELS) == {name for names in sets for name in names}
    assert all(labels.canonical(name) == name for name in schema.LABELS)


@given(st.dictionaries(st.sampled_from([*schema.LABELS, "Scoliosis", "Ä"]), st.integers(-1, 1)))
def test_no_label_is_lost_between_the_two_fields(row):
    known, others = split_labels(row)
    assert known | {other["name"]: other["value"] for other in others} == row
    assert schema.holds(schema.FIELDS["labels"].kind, known)
    assert schema.holds(schema.FIELDS["labels_other"].kind, others)
    assert not known.keys() & {other["name"] for other in others}


def empty(kind):
    """Return the least value of a kind."""
    if isinstance(kind, schema.Value):
        return schema.TYPES[kind.dtype]()
    if isinstance(kind, schema.Items):
        return []
    return {} if kind.partly else {name: empty(inner) for name, inner in kind.fields.items()}


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(deadline=None)  # the first one imports Arrow
@given(st.sampled_from(sorted(schema.FIELDS)), ODD)
def test_what_fits_the_table_is_what_arrow_takes_as_it_is(name, value):
    import pyarrow

    whole = {name: empty(field.kind) for name, field in schema.FIELDS.items()}
    assert list(schema.wrong(whole)) == []
    if not schema.holds(schema.FIELDS[name].kind, value):
        assert list(schema.wrong(whole | {name: value})) == [name]
        return
    import datasets

    types = datasets.Features.from_dict(schema.features("jpg")).arrow_schema.field("json").type
    (row,) = pyarrow.array([whole | {name: value}], types).to_pylist()
    found = row[name]
    if name == "labels":
        found = {label: n for label, n in found.items() if n is not None}
    assert found == value


def test_every_field_is_said_in_the_table_for_readme():
    said = schema.markdown()
    assert all(f"| `{name}` |" in said for name in schema.FIELDS)
    assert all(field.says for field in schema.FIELDS.values())


def test_a_set_of_version_0_2_is_told_from_a_broken_one(built, tmp_path, capsys):
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    restate(folder, format=1)
    assert verify.main([str(folder)]) == 65
    assert "made by version 0.2 or earlier: build the set again" in capsys.readouterr().out
