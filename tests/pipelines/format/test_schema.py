"""The table of the sample's fields: it agrees with nlp, with schema.json and with real sets."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from breaking import members, restate
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.nlp import labels, lexicon
from cxr_vlp.nlp.context import certainty, scope
from cxr_vlp.nlp.findings import mention
from cxr_vlp.nlp.priors import rewriting
from cxr_vlp.nlp.wording import translations
from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.config import Shards, build
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import kinds, manifest, schema
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import (
    ASSERTION_OF,
    ASSERTIONS,
    CHANGES,
    EDITS,
    LABELS,
    POSITIONS,
    SECTIONS,
    TRANSLATED,
    Mention,
    Sample,
)
from cxr_vlp.pipelines.stages.sample_members import split_labels


def test_a_mention_has_the_fields_of_nlp():
    ours, theirs = (dataclasses.fields(kind) for kind in (Mention, mention.Mention))
    assert [each.name for each in ours] == [each.name for each in theirs]
    assert ASSERTION_OF == certainty.ASSERTION_OF
    assert ("", *mention.CHANGES) == CHANGES
    assert ("", *mention.POSITIONS) == POSITIONS
    assert EDITS == rewriting.EDITS


def test_sections_are_those_of_nlp():
    cut = {*lexicon.load("headings"), "preamble", "body"} - {"findings", "impression", "summary"}
    assert set(SECTIONS) == cut  # a summary is read as an impression, or as the end of a section
    with pytest.raises(
        ConfigError,
        match=r"shards\.sections\[0\]: expected one of indication.*did you mean indication",
    ):
        build(Shards, {"sections": ["indications"]}, "shards")


def test_label_names_are_those_of_the_three_sets():
    sets = (labels.CHEXPERT14, labels.CHESTXRAY14, labels.VINDR)
    assert set(LABELS) == {name for names in sets for name in names}
    assert all(labels.canonical(name) == name for name in LABELS)


@given(st.dictionaries(st.sampled_from([*LABELS, "Scoliosis", "Ä"]), st.integers(-1, 1)))
def test_every_label_is_in_one_of_the_two_fields(row):
    known, others = split_labels(row)
    whole = Sample(labels=known, labels_other=others)
    assert whole.all_labels == row
    plain = whole.to_dict()
    for name in ("labels", "labels_other"):
        assert kinds.holds(schema.FIELDS[name].kind, plain[name])
    assert not known.keys() & {other.name for other in others}


def empty(kind):
    """Return the smallest value of a kind."""
    if isinstance(kind, kinds.Value):
        return kinds.TYPES[kind.dtype]()
    if isinstance(kind, kinds.Items):
        return []
    return {} if kind.partly else {name: empty(inner.kind) for name, inner in kind.fields.items()}


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(deadline=None)  # the first one imports Arrow
@given(st.sampled_from(sorted(schema.FIELDS)), ODD)
def test_the_table_and_arrow_accept_the_same_values(name, value):
    import pyarrow

    whole = {name: empty(field.kind) for name, field in schema.FIELDS.items()}
    assert list(schema.wrong(whole)) == []
    if not kinds.holds(schema.FIELDS[name].kind, value):
        assert list(schema.wrong(whole | {name: value})) == [name]
        return
    import datasets

    types = datasets.Features.from_dict(schema.features("jpg")).arrow_schema.field("json").type
    (row,) = pyarrow.array([whole | {name: value}], types).to_pylist()
    found = row[name]
    if name == "labels":
        found = {label: n for label, n in found.items() if n is not None}
    assert found == value


def test_every_field_is_in_the_table_and_has_a_description():
    said = schema.markdown()
    assert all(f"| `{name}` |" in said for name in schema.FIELDS)
    records = [*schema._named(schema.SAMPLE), manifest.HEADER, manifest.LINE]
    assert all(field.says for record in records for field in record.fields.values())


def test_translated_sections_and_assertions_are_those_of_nlp():
    assert TRANSLATED == translations.FIELDS
    assert set(ASSERTIONS) == {scope.PRESENT, scope.ABSENT, scope.UNCERTAIN}


COMMITTED = Path(schema.__file__).with_name("schema.json")


def test_the_committed_schema_is_the_one_of_the_classes():
    made = json.dumps(schema.json_schema(), indent=1) + "\n"
    remedy = "python -m cxr_vlp.pipelines.format.schema --json > pipelines/format/schema.json"
    assert COMMITTED.read_text() == made, f"run {remedy}"


TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip


def faults(rule: dict, value: Any, at: str = "") -> Iterator[str]:
    """Yield where a value breaks a rule of the committed schema: the keywords that it uses."""
    known = {"$ref", "type", "enum", "items", "properties", "required", "additionalProperties"}
    assert rule.keys() <= known | {"$schema", "$id", "$defs", "title", "description"}
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        yield from faults(json.loads(COMMITTED.read_text())["$defs"][name], value, at)
    types = rule.get("type", list(TYPES))
    allowed = [TYPES[name] for name in ([types] if isinstance(types, str) else types)]
    if not any(isinstance(value, kind) for kind in allowed):
        yield f"{at} is no {types}"
        return
    if value not in rule.get("enum", [value]):
        yield f"{at} is none of {rule['enum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from faults(rule.get("items", {}), item, f"{at}/{number}")
    if isinstance(value, dict):
        yield from (
            f"{at}/{name} is absent" for name in rule.get("required", ()) if name not in value
        )
        for name, inner in value.items():
            more = rule.get("additionalProperties", {})
            yield from faults(rule.get("properties", {}).get(name, more), inner, f"{at}/{name}")


def lines(built: Path) -> Iterator[tuple[str, Any]]:
    """Yield (name of its description, JSON) of all samples and manifest lines of all sets."""
    for folder in manifest.sets(built / "shards"):
        header, tars = manifest.read(folder)
        yield "header", header
        yield from (("tar", line) for line in tars)
        yield from (("sample", json.loads(data)) for data in documents(folder))


def documents(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*/*.tar")):
        yield from (data for name, data in members(path) if name.endswith(".json"))


def test_real_samples_and_manifests_follow_the_committed_schema(built):
    whole = json.loads(COMMITTED.read_text())
    seen = Counter(name for name, _ in lines(built))
    assert min(seen.values()) >= 4
    assert len(seen) == 3
    for name, value in lines(built):
        assert list(faults(whole["$defs"][name], value)) == []
    sample = next(value for name, value in lines(built) if name == "sample")
    assert list(faults(whole, sample)) == []  # the schema itself describes a sample
    broken = sample | {"view": "PA", "age": "old", "boxes": [{}]}
    del broken["caption"]
    found_faults = " ".join(faults(whole, broken))
    assert all(f"/{name}" in found_faults for name in ("view", "age", "boxes/0/label", "caption"))


def test_the_jsonschema_library_agrees(built):
    whole = json.loads(COMMITTED.read_text())
    jsonschema.Draft202012Validator.check_schema(whole)
    for name, value in lines(built):
        rule = whole | {"$ref": f"#/$defs/{name}"}
        jsonschema.Draft202012Validator(rule).validate(value)


def test_real_samples_come_back_from_their_type_byte_for_byte(built):
    for folder in manifest.sets(built / "shards"):
        for document in documents(folder):
            assert Sample.from_json(document).to_json() == document


def test_a_reader_ignores_unknown_keys_and_refuses_another_format(built):
    document = next(documents(built / "shards" / "mimic"))
    row = json.loads(document)
    row["sentences"] = [sentence | {"more": 1} for sentence in row["sentences"]]
    row["pixels"]["more"] = 1
    assert row["sentences"]
    assert Sample.from_dict(row | {"more": {}}).to_json() == document
    for number, message in (
        (5, "made by a later version"),
        (3, "made by version 0.6"),
        (None, "0.6"),
    ):
        with pytest.raises(FormatError, match=f"{message}.*build the set again") as caught:
            Sample.from_dict(row | {"format": number})
        assert caught.value.code == "json.format"
    with pytest.raises(FormatError, match="wrong type"):
        Sample.from_dict(row | {"sentences": 5})


def test_a_sample_is_pickled_without_loss(built):
    for document in documents(built / "shards" / "mimic"):
        whole = Sample.from_json(document)
        assert pickle.loads(pickle.dumps(whole)) == whole
        assert whole.without_texts() == Sample.from_json(document, texts=False)
        assert "findings" not in str(whole.without_texts().sentences)


def test_the_format_needs_only_the_standard_library():
    heavy = ("spacy", "numpy", "apache_beam", "pydantic", "yaml", "cxr_vlp.nlp")
    for path in sorted(COMMITTED.parent.glob("*.py")):
        module = f"cxr_vlp.pipelines.format.{path.stem}"
        code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]", module


def test_a_set_of_version_0_2_is_not_reported_as_broken(built, tmp_path, capsys):
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    restate(folder, format=1)
    assert verify.main([str(folder)]) == 65
    assert "made by version 0.6 or earlier: build the set again" in capsys.readouterr().out
