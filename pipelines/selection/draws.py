"""Draws samples or studies by the hash of their keys: the same seed gives the same draw.

A draw of 200 studies holds those of a draw of 100 with the same seed, and the order of sets,
shards and rows does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.selection import query

LABELS = "label"  # as a name of --per: every label, of which the positive samples are drawn
_COUNTED = (pa.types.is_string, pa.types.is_integer)
_IDS = ("key", "study", "patient", "image", "image_sha256", "report_sha256")
_NAMED = 30  # values of a column that are named; of more of them the number is told


@dataclass
class Draw:
    """The places of the drawn rows in their order, and what must be said of the draw."""

    places: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def studies(table: pa.Table, number: int, balance: str, seed: int) -> Draw:
    """Draw studies, each with all its rows; with `balance` equally many of every group.

    A group is a value of the column `balance`. If the images of a study differ in it, that of
    the first image by key counts. Studies without a value are in no group. Where the number cannot
    be divided, the groups that get one study more are drawn too.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    named = zip(table.column("dataset").to_pylist(), table.column("study").to_pylist(), strict=True)
    for place, study in enumerate(named):
        rows.setdefault(study, []).append(place)
    groups, draw = _groups(table, rows, balance)
    each, more = divmod(number, max(len(groups), 1))
    short: dict[str, tuple[int, int]] = {}
    for place, name in enumerate(sorted(groups, key=lambda name: _rank(seed, "group", name))):
        group, wanted = groups[name], each + (place < more)
        taken = sorted(group, key=lambda study: _rank(seed, "study", *study))[:wanted]
        draw.places += [row for study in taken for row in rows[study]]
        if len(taken) < wanted:
            short[f" of {balance} {name}" if balance else ""] = len(taken), wanted
    draw.places.sort()
    draw.said += _told("--studies", balance, short)
    return draw


def _groups(
    table: pa.Table, rows: Mapping[tuple[str, str], Sequence[int]], balance: str
) -> tuple[dict[str, list[tuple[str, str]]], Draw]:
    """Return the studies of every group, and a draw that says how many are in none."""
    if not balance:
        return {"": list(rows)}, Draw()
    keys, values = table.column("key").to_pylist(), column(table, balance, "--balance")
    groups: dict[str, list[tuple[str, str]]] = {}
    without = 0
    for study, places in rows.items():
        value = values[min(places, key=keys.__getitem__)]
        if value is None:
            without += 1
        else:
            groups.setdefault(str(value), []).append(study)
    said = [f"--balance: {without:,} studies have no {balance}: not drawn"] if without else []
    return groups, Draw(said=said)


def shots(table: pa.Table, number: int, per: str, seed: int) -> Draw:
    """Draw distinct samples: `number` for every label, or for every value of the column `per`.

    For a label, positive samples are drawn. The rarest label is served first, and a sample that is
    drawn for one label is not drawn for another one. So every label has at least `number` positive
    samples, or all that there are, and is then named.
    """
    keys, groups = table.column("key").to_pylist(), _positives(table, per)
    if not any(groups.values()):
        raise ConfigError(f"--shots: no sample of the split has a value of {per}")
    drawn: set[int] = set()
    short: dict[str, tuple[int, int]] = {}
    said = []
    if absent := sorted(name for name, places in groups.items() if not places):
        said.append(f"--shots: no sample at all for {', '.join(absent)}")
    for name, places in sorted(groups.items(), key=lambda item: (len(item[1]), item[0])):
        free = [place for place in places if place not in drawn]
        ranks = {place: _rank(seed, "shot", name, keys[place]) for place in free}
        drawn.update(sorted(free, key=ranks.__getitem__)[:number])
        if 0 < len(places) < number:
            short[f" for {name}"] = len(places), number
    return Draw(sorted(drawn), [*said, *_told("--shots", per, short)])


def _told(flag: str, column: str, short: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return what is said of the groups that have fewer than wanted; no id of a patient or study.

    `short` gives " for a group" -> (number that it has, number wanted).
    """
    if len(short) > _NAMED or (short and column in _IDS):
        return [f"{flag}: {len(short):,} values of {column} have fewer than asked: no more left"]
    return [
        f"{flag}: {there:,} instead of {wanted:,}{group}: no more left"
        for group, (there, wanted) in sorted(short.items())
    ]


def _positives(table: pa.Table, per: str) -> dict[str, list[int]]:
    """Return the places of the rows that a label or value can be drawn from."""
    groups: dict[str, list[int]] = {}
    if per != LABELS:
        for place, value in enumerate(column(table, per, "--per")):
            if value not in (None, ""):
                groups.setdefault(f"{per} {value}", []).append(place)
        return groups
    for name in labels(table):
        values = column(table, name, "--per")
        groups[name] = [place for place, value in enumerate(values) if value == 1]
    return groups


def labels(table: pa.Table) -> list[str]:
    """Return the names of all labels of a table, the format's own first."""
    own = [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]
    return [*own, *(name for name in query.other_labels(table) if name not in own)]


def column(table: pa.Table, name: str, flag: str) -> list[Any]:
    """Return the values of a column or label. Raises ConfigError if the table has none."""
    own = {each.removeprefix(LABEL): each for each in table.column_names if each.startswith(LABEL)}
    found = own.get(name, name)
    if found in table.column_names:
        kind = table.schema.field(found).type
        if any(fits(kind) for fits in _COUNTED) and not name.startswith("__"):
            return list(table.column(found).to_pylist())
    elif name in query.other_labels(table):
        others = table.column("labels_other").to_pylist()
        return [next((x["value"] for x in row if x["name"] == name), None) for row in others]
    raise ConfigError(f"{flag}: no label or column of one text or number has the name {name!r}")


def _rank(seed: int, *words: str) -> str:
    return hashlib.sha256("\x1f".join((str(seed), *words)).encode()).hexdigest()
