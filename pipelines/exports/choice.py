"""Finds the sets of an export and the samples of them that its flags choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.exports.base import Chosen, Request, Result
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.selection import query

_SET = "__set"  # number of the set, in the table over all sets


@dataclass(frozen=True)
class Found:
    """A set: its folder, the header of its manifest, and its place below the given folder."""

    folder: Path
    header: Mapping[str, Any]
    place: str


def find(path: Path) -> list[Found]:
    """Return the sets in a folder. Raises ConfigError for none, DataError for a broken one."""
    found = list(manifest.sets(path))
    if not found:
        raise ConfigError(f"no {manifest.NAME} in {path} or in the folders right below it")
    return [
        Found(folder, sample_table.manifest_of(folder)[0], folder.name if folder != path else "")
        for folder in found
    ]


def choose(
    found: Sequence[Found], where: str, split: str, *, state: Path, workers: int
) -> tuple[Chosen, ...]:
    """Return the samples of every set that the condition and the split choose.

    The condition is put to all sets at once, because only one of them may have a label that it
    names. Raises ConfigError for a condition that is wrong or leaves no sample, DataError for
    sets without a sample or with a common key.
    """
    tables = [sample_table.of_set(each.folder, state, workers=workers) for each in found]
    _check_keys(found, tables)
    table = pa.concat_tables(_numbered(tables))
    if not table.num_rows:
        raise DataError("there is no sample in the given sets")
    if split:
        table = table.filter(pc.equal(table.column("split"), split))
    if where:
        table = query.matching(table, where)
    if not table.num_rows:
        raise ConfigError(f"no sample is chosen: {_asked(where, split)} is true of none")
    return tuple(_chosen(found, table))


def check(request: Request, result: Result) -> None:
    """Raise DataError if an export lost a sample unsaid, or left out all of them."""
    written, left_out = sum(result.written.values()), sum(result.left_out.values())
    if written + left_out != request.rows:
        raise DataError(
            f"flow.unbalanced after export: {request.rows} chosen, {left_out} left out, {written} "
            "written: please report it"
        )
    if not written:
        reasons = ", ".join(
            f"{code} {number:,}" for code, number in sorted(result.left_out.items())
        )
        raise DataError(f"no sample can be written: all {request.rows:,} are left out ({reasons})")


def _asked(where: str, split: str) -> str:
    return " with ".join(flag for flag, given in (("--where", where), ("--split", split)) if given)


def _numbered(tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
    for number, table in enumerate(tables):
        column = pa.array([number] * table.num_rows, pa.int32())
        yield table.replace_schema_metadata(None).append_column(_SET, column)


def _chosen(found: Sequence[Found], table: pa.Table) -> Iterator[Chosen]:
    """Yield the part of every set that has one, in the order of the sets."""
    for number, each in enumerate(found):
        part = table.filter(pc.equal(table.column(_SET), number)).drop_columns([_SET])
        if part.num_rows:
            yield Chosen(each.folder, each.header, part, each.place)


def _check_keys(found: Sequence[Found], tables: Sequence[pa.Table]) -> None:
    """Raise DataError if two sets share a key: their files would replace each other."""
    keys: Counter[str] = Counter()
    for table in tables:
        keys.update(table.column("key").to_pylist())
    twice = sum(number > 1 for number in keys.values())
    if twice:
        names = ", ".join(each.folder.name for each in found)
        raise DataError(
            f"key.twice: {twice:,} samples have a key that occurs more than once in {names}; leave "
            "one of the sets out"
        )
