"""Writes the card of a set, or of several sets that are joined, into a folder.

    train/, validate/, test/    a link to every tar, and sizes.json with the samples of each
    samples.parquet             the table of samples (sample_table.py)
    README.md                   the page, with a header that the Hugging Face hub reads
    croissant.json, wids.json   indexes for other readers
    features.json               the columns of a sample, for Hugging Face datasets
    card.json                   what the card says, in numbers; it marks the folder as a card
    figures/                    plots, and a contact sheet

The links are relative. So the folder can be loaded, and uploaded to a hub, as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.cards import (
    contact_sheet,
    facts,
    indexes,
    ownership,
    page,
    plots,
    sample_table,
)
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.files import atomic_dir, jsonl, privacy
from cxr_vlp.pipelines.format import manifest, versions

NAME, PAGE, FIGURES = ownership.MARK, ownership.PAGE, ownership.FIGURES


@dataclass(frozen=True)
class Options:
    """What a card holds beside its tables and its page."""

    images: bool = True  # a contact sheet
    figures: bool = True  # the plots
    links: bool = True  # to the tars; a set that holds its own card needs none


def publish(subject: Subject, out: Path, state: Path, options: Options) -> None:
    """Write a card as the folder `out`, in one step.

    Raises ConfigError if `out` holds something else, and what the files of the card raise.
    """
    ownership.check(out, subject)
    with (
        privacy.protecting(subject.protection, out, state),
        atomic_dir.publishing(out, NAME) as staging,
    ):
        write(subject, staging, options)


def write(subject: Subject, place: Path, options: Options) -> None:
    """Write the files of a card into a folder: an empty one, or the set itself (`links` False)."""
    found = facts.of(subject)
    jsonl.write_json(place / NAME, {"cards": versions.CARDS, **found.to_json()})
    table = place / sample_table.NAME
    sample_table.write(subject.table, table)
    described = indexes.croissant(subject, jsonl.sha256(table), table.stat().st_size)
    jsonl.write_json(place / indexes.CROISSANT, described)
    jsonl.write_json(place / indexes.WIDS, indexes.wids(subject))
    jsonl.write_json(place / manifest.FEATURES, subject.features)
    if options.links:
        _link(subject, place)
    shown = _draw(subject, found, place / FIGURES, options)
    jsonl.write_lines(place / PAGE, [page.markdown(subject, found, shown)])


def _draw(subject: Subject, found: facts.Facts, folder: Path, options: Options) -> dict[str, str]:
    """Write the figures; return the path of each in the card -> what it shows."""
    made: dict[str, str] = {}
    if options.images or options.figures:
        folder.mkdir()
    if options.figures:
        made |= plots.write(subject, found, folder)
    if options.images:
        contact_sheet.write(subject, folder)
        made[contact_sheet.NAME] = "Images of every collection, split and view"
    return {f"{FIGURES}/{name}": says for name, says in made.items()}


def _link(subject: Subject, place: Path) -> None:
    """Link all tars, and write the number of their samples beside them, for open_clip."""
    for split in subject.splits:
        folder = place / split
        folder.mkdir()
        for shard in subject.of_split(split):
            # the path of the tar as the set names it: DVC may replace the tar by a link
            target = shard.target.parent.resolve() / shard.target.name
            (folder / shard.name).symlink_to(os.path.relpath(target, folder.resolve()))
        sizes = {shard.name: shard.samples for shard in subject.of_split(split)}
        jsonl.write_json(folder / manifest.SIZES, sizes)
