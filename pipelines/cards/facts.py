"""Counts what a card says of its sets: flow, splits, labels, views, texts. No text, no id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.format import accounting
from cxr_vlp.pipelines.format.sample import LABELS, SPLITS

MADE_BY = "cxr-vlp card"
LEFT_OUT = "- select selection.left_out"  # a row of the flow: no loss, but what nobody chose
TEXTS = ("findings", "impression", "abnormal", "prior_free", "caption")
VALUES = (("positive", 1), ("negative", 0), ("uncertain", -1))


@dataclass(frozen=True)
class Split:
    """The size of a split of the card, or of one of its sets."""

    split: str
    images: int
    studies: int
    patients: int
    tars: int
    bytes: int


@dataclass(frozen=True)
class Facts:
    """The numbers of a card, in the order in which its page shows them."""

    digest: str
    splits: Mapping[str, tuple[Split, ...]]  # by the name of the set
    flow: Mapping[str, tuple[tuple[str, int], ...]]  # by the name of the set
    labels: Mapping[str, Mapping[str, int]]  # label -> positive, negative, uncertain -> images
    others: int  # further labels, in labels_other
    views: Mapping[str, int]
    sexes: Mapping[str, int]
    labels_from: Mapping[str, int]
    with_text: Mapping[str, int]  # name of a text -> images that have one
    repeated_keys: int
    crossing_patients: int  # in more than one split

    def to_json(self) -> dict[str, Any]:
        """Return the content of card.json."""
        return {"made_by": MADE_BY, **asdict(self)}

    @property
    def images(self) -> int:
        """The number of samples."""
        return sum(split.images for splits in self.splits.values() for split in splits)

    @property
    def selected(self) -> bool:
        """Whether `select` made one of the sets."""
        return any(name == LEFT_OUT for rows in self.flow.values() for name, _ in rows)


def of(subject: Subject) -> Facts:
    """Return the numbers of a card."""
    table = subject.table
    return Facts(
        digest=subject.digest,
        splits={part.name: _splits(subject, part.name, part.table) for part in subject.parts},
        flow={part.name: _flow(part.header) for part in subject.parts},
        labels=_labels(table),
        others=_others(table),
        views=_counts(table, "view"),
        sexes=_counts(table, "sex"),
        labels_from=_counts(table, "labels_from"),
        with_text={name: _positive(table, f"{name}_chars") for name in TEXTS},
        repeated_keys=subject.repeated_keys(),
        crossing_patients=subject.crossing_patients(),
    )


def _splits(subject: Subject, name: str, table: pa.Table) -> tuple[Split, ...]:
    return tuple(
        Split(
            split,
            rows.num_rows,
            pc.count_distinct(rows.column("study")).as_py(),
            pc.count_distinct(rows.column("patient")).as_py(),
            len(tars),
            sum(shard.bytes for shard in tars),
        )
        for split in SPLITS
        if (rows := table.filter(pc.equal(table.column("split"), split))).num_rows
        for tars in [[s for s in subject.of_split(split) if s.part == name]]
    )


def _flow(header: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    # a manifest has its reasons in the order of the alphabet
    reasons = sorted(header["dropped"], key=lambda name: accounting.STEPS.index(name.split()[0]))
    lost = {name: header["dropped"][name] for name in reasons}
    return tuple(accounting.rows(header["listed"], lost, header["written"], "samples written"))


def _labels(table: pa.Table) -> dict[str, dict[str, int]]:
    """Return the counts of every label that is mentioned for an image."""
    found = {}
    for name in LABELS:
        counts = _counts(table, f"{LABEL}{name}")
        if any(value is not None for value in counts):
            found[name] = {word: counts.get(value, 0) for word, value in VALUES}
    return found


def _others(table: pa.Table) -> int:
    names = pc.struct_field(pc.list_flatten(table.column("labels_other")), "name")
    return int(pc.count_distinct(names).as_py())


def _counts(table: pa.Table, name: str) -> dict[Any, int]:
    """Return value -> number of rows, the most frequent first."""
    rows = pc.value_counts(table.column(name)).to_pylist()
    ordered = sorted(rows, key=lambda row: (-row["counts"], str(row["values"])))
    return {row["values"]: row["counts"] for row in ordered}


def _positive(table: pa.Table, name: str) -> int:
    return int(pc.sum(pc.greater(table.column(name), 0)).as_py() or 0)
