"""Finds the sets of an export and the samples of them that its flags choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines import codes
from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.exports.base import Chosen, Request, Result
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.selection import query


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

    The condition is put to all samples of all sets at once, because only one set may have a label
    that it names. Raises ConfigError for a condition that is wrong or leaves no sample, DataError
    for sets without a sample, with a common key, or with a patient in two splits.
    """
    tables = [sample_table.of_set(each.folder, state, workers=workers) for each in found]
    _check_keys(found, tables)
    if not any(table.num_rows for table in tables):
        raise DataError("there is no sample in the given sets")
    if where:
        tables = query.matching_each(tables, where)
    if split:
        tables = [table.filter(pc.equal(table.column("split"), split)) for table in tables]
    if not any(table.num_rows for table in tables):
        raise ConfigError(f"no sample is chosen: {_asked(where, split)} is true of none")
    _check_patients(found, tables)
    return tuple(
        Chosen(each.folder, each.header, table, each.place)
        for each, table in zip(found, tables, strict=True)
        if table.num_rows
    )


def check(request: Request, result: Result) -> None:
    """Raise DataError if an export lost a sample unsaid, or left out all of them."""
    written, left_out = sum(result.written.values()), sum(result.left_out.values())
    if written + left_out != request.rows:
        raise DataError(
            f"flow.unbalanced after export: {request.rows} chosen, {left_out} left out, {written} "
            "written: please report it"
        )
    if not written:
        found = sorted(result.left_out.items())
        reasons = ", ".join(f"{code} {number:,}" for code, number in found)
        remedies = codes.remedies(sorted(result.left_out), table=codes.EXPORTS)
        said = f"no sample can be written: all {request.rows:,} are left out ({reasons})"
        raise DataError("; ".join([said, *remedies]))


def _asked(where: str, split: str) -> str:
    return " with ".join(flag for flag, given in (("--where", where), ("--split", split)) if given)


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


def _check_patients(found: Sequence[Found], tables: Sequence[pa.Table]) -> None:
    """Raise DataError if a patient is in two splits: two selections may divide one collection."""
    splits = pa.concat_tables(table.select(["dataset", "patient", "split"]) for table in tables)
    alone = splits.group_by(["dataset", "patient", "split"]).aggregate([])
    torn = alone.num_rows - alone.group_by(["dataset", "patient"]).aggregate([]).num_rows
    if torn:
        names = ", ".join(each.folder.name for each in found)
        raise DataError(
            f"patient.two_splits: {torn:,} patients are in more than one split of {names}: a model "
            "would be tested on its training data; leave one of the sets out, or export one --split"
        )
