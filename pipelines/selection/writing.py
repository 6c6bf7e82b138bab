"""Writes a selection as a complete new set: tars, sizes, rejects, features, manifest, card.

The counts of the new set add up as those of every set do: what the source set lost is lost in it
too, and the samples that were not chosen are rejects of the step `select`, one row a tar.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.cards import card, subject
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor import pool
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, fingerprints, manifest, schema, versions
from cxr_vlp.pipelines.format.sample import SPLITS, key_hash
from cxr_vlp.pipelines.selection import copying, layout
from cxr_vlp.pipelines.selection.source_sets import SourceSet

STEP, LEFT_OUT = "select", "selection.left_out"


def check_tars(source: SourceSet, table: pa.Table, workers: int) -> None:
    """Compare the digest of every tar that has chosen samples. Raises DataError."""
    used = set(table.column("shard").unique().to_pylist())
    lines = [line for line in source.declared.tars if line["name"] in used]
    calls = [
        functools.partial(copying.check_tar, source.declared.path(line), str(line["sha256"]))
        for line in lines
    ]
    for _ in pool.with_progress(calls, workers, f"digests of {source.name}"):
        pass


def write(
    source: SourceSet,
    table: pa.Table,
    out: Path,
    numbers: Mapping[str, int],
    selection: Mapping[str, Any],
    *,
    workers: int,
) -> dict[str, Any]:
    """Write the chosen samples of a set to the folder `out`; return the header of its manifest.

    `numbers` is the number of parts of every split, `selection` the header's `selection`. Raises
    DataError for a set that is damaged, or whose counts do not add up.
    """
    name, form = str(source.header["source"]), source.declared.shards.format
    rows = layout.cut(name, table, numbers)
    calls = [
        functools.partial(
            copying.write_tar, source.folder, form, rows[part], split, out / split / f"{part}.tar"
        )
        for part in rows
        for split in (parts.split_of(part),)
    ]
    written = zip(rows, pool.with_progress(calls, workers, f"tars of {name}"), strict=True)
    by_part = dict(written)
    lines = [
        _line(part, by_part.get(part), selection, rows.get(part))
        for part in parts.names(name, numbers)
    ]
    _write_beside(source, lines, out, table)
    header = _header(source, lines, numbers, selection, out)
    header["digest"] = manifest.digest(header, lines, out / manifest.REJECTS)
    jsonl.write_records(out / manifest.NAME, [header, *lines])
    return header


def write_card(folder: Path, state: Path, *, workers: int) -> None:
    """Write the card of a new set beside its manifest, without figures: they decode images.

    So the folder of the set is that of the card: the paths in its files are right without links. A
    link to a tar would be a second tar to a loader that searches all folders.
    """
    part = subject.read(folder, state, workers)
    named = replace(part, name=str(part.header["source"]))  # `folder` is not the set's last name
    options = card.Options(images=False, figures=False, links=False)
    card.write(Subject(named.name, (named,)), folder, options)


def _line(
    part: str,
    written: Mapping[str, Any] | None,
    selection: Mapping[str, Any],
    rows: pa.Table | None,
) -> dict[str, Any]:
    """Return a part's line of the manifest; `written` is None for a part without samples."""
    keys = rows.column("key").to_pylist() if rows else []
    facts = [versions.FORMAT, versions.SELECTION, selection["source"], part, keys]
    empty = {"name": f"{part}.tar", "split": parts.split_of(part), "sha256": "", "bytes": 0}
    counts = {"samples": 0, "studies": 0, "patients": 0, "notes": {}}
    line: dict[str, Any] = {"rejects": {}, "fingerprint": fingerprints.of(facts)}
    return line | (dict(written) if written else empty | counts)


def _write_beside(
    source: SourceSet, lines: Sequence[Mapping[str, Any]], out: Path, table: pa.Table
) -> None:
    """Write sizes, features and rejects."""
    for split in SPLITS:
        sizes = {x["name"]: x["samples"] for x in lines if x["split"] == split and x["samples"]}
        jsonl.write_json(out / split / manifest.SIZES, sizes)
    jsonl.write_json(out / manifest.FEATURES, schema.features(source.declared.shards.format))
    earlier = jsonl.read_records(source.folder / manifest.REJECTS)
    rejects = [*earlier, *_left_out(source, table)]
    order = sorted(rejects, key=lambda row: (row["step"], row["code"], row["key_hash"]))
    jsonl.write_records(out / manifest.REJECTS, order)


def _left_out(source: SourceSet, table: pa.Table) -> list[dict[str, Any]]:
    """Return one reject for each tar of the source of which samples were not chosen."""
    taken = Counter(table.column("shard").to_pylist())
    return [
        {
            "code": LEFT_OUT,
            "images": line["samples"] - taken[line["name"]],
            "key_hash": key_hash(f"{source.digest} {line['name']}"),
            "step": STEP,
        }
        for line in source.declared.tars
        if line["samples"] > taken[line["name"]]
    ]


def _header(
    source: SourceSet,
    lines: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    selection: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Return the header of the manifest; its `digest` is still that of the source."""
    old = dict(source.header)
    lost = accounting.dropped(jsonl.read_records(out / manifest.REJECTS))
    written = sum(line["samples"] for line in lines)
    if fault := accounting.imbalance(old["listed"], lost, written, STEP):
        raise DataError(f"{source.folder}: {fault}; run cxr-vlp verify on the set")
    return old | {
        "parts": dict(numbers),
        "dropped": lost,
        "written": written,
        "studies": sum(line["studies"] for line in lines),
        "notes": _notes(old["notes"], source.declared.lines, lines),
        "selection": dict(selection),
    }


def _notes(
    old: Mapping[str, int], before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Return the notes of scan as before, and those on the images that are left."""
    found = Counter(old)
    for line in before:
        found.subtract(line["notes"])
    for line in after:
        found.update(line["notes"])
    return {code: number for code, number in sorted(found.items()) if number > 0}
