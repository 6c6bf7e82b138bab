"""A shard comes in, its samples go out: each a film with its record and caption, or an error.

A sample is three members that stand together under one key: picture, json, txt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cxr_vlp.train.data.members import members
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import DataError, key_hash

PICTURES = ("jpg", "png")
FORMAT = 2  # of the records; shards of another are refused rather than misread
KINDS = frozenset((*PICTURES, "json", "txt"))


@dataclass(frozen=True, slots=True)
class Film:
    """One sample as it is stored: the picture still encoded, the record read.

    `turn` counts how often its shard has been opened in this epoch: what is drawn for a film is
    another each time.
    """

    key: str
    picture: bytes
    record: Mapping[str, Any]
    caption: str
    shard: str
    turn: int = 0


def films(shard: Shard, turn: int = 0) -> Iterator[Film]:
    """Yield the films of a shard, in its order.

    Raises DataError for a sample that is not one picture, one json and one txt, and for a shard
    that holds another number of samples than its sizes.json promises: one that was rewritten and
    cut off looks like a shorter one, which only the count tells.
    """
    seen = 0
    for key, parts in _samples(shard):
        yield _film(key, parts, str(shard.path), turn)
        seen += 1
    if seen != shard.samples:
        raise DataError(f"{shard.path}: {seen} samples where sizes.json promises {shard.samples}")


def studies(flow: Iterable[Film]) -> Iterator[tuple[Film, ...]]:
    """Yield the films of each study together; in a shard they are neighbours."""
    for _, group in groupby(flow, key=_study):
        yield tuple(group)


def _study(film: Film) -> tuple[str, int, str]:
    return film.shard, film.turn, film.record.get("study") or film.key


def _samples(shard: Shard) -> Iterator[tuple[str, dict[str, bytes]]]:
    key, parts = "", dict[str, bytes]()
    for name, content in members(shard.path):
        # A key holds no dot: whatever cuts it at the first one finds the same samples.
        found, _, kind = name.partition(".")
        if kind not in KINDS:
            raise DataError(
                f"{shard.path}: sample {key_hash(found)} has a member that is none of "
                f"{', '.join(sorted(KINDS))}"
            )
        if found != key:
            if parts:
                yield key, parts
            key, parts = found, {}
        if kind in parts:
            raise DataError(f"{shard.path}: sample {key_hash(key)} has a member twice")
        parts[kind] = content
    if parts:
        yield key, parts


def _film(key: str, parts: Mapping[str, bytes], shard: str, turn: int) -> Film:
    pictures = [parts[kind] for kind in PICTURES if kind in parts]
    if len(pictures) != 1 or len(parts) != 3:
        raise DataError(f"{shard}: sample {key_hash(key)} lacks a member")
    try:
        record = dict(json.loads(parts["json"]))
        caption = parts["txt"].decode().strip()
    except (ValueError, TypeError):
        raise DataError(f"{shard}: sample {key_hash(key)} has no JSON or no text") from None
    found = record.get("format")
    if found != FORMAT:
        made_by = "version 0.2 or earlier" if found is None else "another version"
        raise DataError(f"{shard}: made by {made_by}: build the set again (cxr-vlp shards)")
    return Film(key, pictures[0], _joined(record), caption, shard, turn)


def _joined(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with all its labels in one row, whatever label set names them.

    Shards keep a collection's further names apart, for readers that want one row of columns.
    """
    others = record.pop("labels_other", None) or ()
    if others:
        record["labels"] = {**record["labels"], **{row["name"]: row["value"] for row in others}}
    return record
