"""Prints what a selection chose and wrote: counts only, no key and no id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.selection import draws
from cxr_vlp.pipelines.selection.source_sets import NEW, SourceSet
from cxr_vlp.pipelines.selection.steps import Chosen


def show_chosen(sets: Sequence[SourceSet], chosen: Chosen) -> None:
    """Print the samples after every step, then what is chosen by set and split."""
    rows = [(step, sum(counts.values())) for step, counts in chosen.counts]
    cli.show("select", ("after the step", "samples"), rows)
    for line in chosen.said:
        cli.say(f"note: {line}")
    cli.show("chosen", ("set", "split", "samples", "studies", "patients"), _splits(sets, chosen))


def _splits(sets: Sequence[SourceSet], chosen: Chosen) -> list[tuple[str, str, int, int, int]]:
    rows = []
    for number, source in enumerate(sets):
        own = chosen.of(number)
        for split in SPLITS:
            part = own.filter(pc.equal(own.column(NEW), split))
            studies, patients = (len(part.column(x).unique()) for x in ("study", "patient"))
            if part.num_rows:
                rows.append((source.name, split, part.num_rows, studies, patients))
    return rows


def show_labels(sets: Sequence[SourceSet], chosen: Chosen) -> None:
    """Print the positive samples of every label, by set and split."""
    rows = []
    for number, source in enumerate(sets):
        own = chosen.of(number)
        splits = own.column(NEW).to_pylist()
        for name in draws.labels(own):
            values = draws.column(own, name, "labels")
            at = [split for split, value in zip(splits, values, strict=True) if value == 1]
            if at:
                rows.append((source.name, name, *(at.count(split) for split in SPLITS)))
    if rows:
        cli.show("positive samples", ("set", "label", *SPLITS), rows)


def show_written(
    out: Path,
    sets: Sequence[SourceSet],
    headers: Mapping[str, Mapping[str, Any]],
    *,
    single: bool,
) -> None:
    """Print what was written, and the sets that are not, because nothing of them was chosen."""
    rows = []
    for name, header in headers.items():
        tars = sum(1 for _ in (out if single else out / name).glob("*/*.tar"))
        rows.append((name, header["written"], header["studies"], tars))
    here = out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out
    cli.show(f"written to {here}", ("set", "samples", "studies", "tars"), rows)
    if empty := [source.name for source in sets if source.name not in headers]:
        cli.say(f"note: nothing was chosen of {', '.join(empty)}: not written")
    where = "the first line of manifest.jsonl" if single else "selection.json"
    cli.say(f"the command to select it again is in {where}")
