"""Collects what the page of one set shows: origin, flow, splits, labels, people, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxr_vlp.pipelines.format.sample import SPLITS, STATUSES, VIEWS
from cxr_vlp.train.pages.browser import data_files
from cxr_vlp.train.pages.browser.files import Row
from cxr_vlp.train.pages.browser.survey import UNKNOWN, Survey, extent
from cxr_vlp.train.pages.site.page import ShownSet

EXAMPLES = 12

Table = list[dict[str, Any]]


class Examples:
    """Chooses example samples with different findings among the rows of a set.

    A row is kept while it is the first of its study whose findings differ from those kept before;
    then the one whose rarest finding was shown least comes next. So normal images are not all.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], list[Row]] = {}
        self._studies: set[str] = set()

    def add(self, row: Row) -> None:
        """Consider one row."""
        kind = tuple(sorted(label for label, value in row["labels"].items() if value == 1))
        rows = self._kinds.setdefault(kind, [])
        if row["study"] not in self._studies and len(rows) < EXAMPLES:
            self._studies.add(row["study"])
            rows.append(row)

    def chosen(self) -> list[Row]:
        """Return the examples, in the order in which they were chosen."""
        rest = {kind: list(rows) for kind, rows in self._kinds.items() if rows}
        seen: Counter[str] = Counter()
        found: list[Row] = []
        while rest and len(found) < EXAMPLES:
            kind = min(rest, key=lambda kind: min((seen[label] for label in kind), default=99))
            found.append(rest[kind].pop(0))
            seen.update(kind)
            if not rest[kind]:
                del rest[kind]
        return found


def content(shown: ShownSet, survey: Survey, examples: Sequence[Row]) -> dict[str, Any]:
    """Return what the template of a set's page gets."""
    header = shown.header
    return {
        "address": f"collection-{data_files.part_of_path(shown.name)}.html",
        "name": shown.name,
        "title": header["title"],
        "header": header,
        "survey": survey,
        "with_text": shown.with_text,
        "flow": flow(header),
        "splits": splits(survey),
        "shared_patients": shared_patients(survey),
        "labels": labels(survey),
        "views": shares(_ordered(survey.views, VIEWS)),
        "projections": shares(_by_number(survey.projections)),
        "sexes": shares(_ordered(survey.sexes, ("F", "M", UNKNOWN))),
        "ages": shares(_ages(survey.ages)),
        "statuses": shares(_ordered(survey.statuses, STATUSES)),
        "boxes": boxes(survey),
        "sides": extent(survey.sides),
        "source_sides": extent(survey.source_sides),
        "notes": shares(_by_number(survey.notes), survey.total),
        "examples": examples,
    }


def flow(header: Mapping[str, Any]) -> Table:
    """Return the rows of the flow table: images listed, lost by step and code, samples."""
    lost = [
        {"kind": "lost", "step": step, "code": code, "number": number}
        for reason, number in header["dropped"].items()
        for step, _, code in [reason.partition(" ")]
    ]
    first = {"kind": "in", "step": "", "code": "images listed", "number": header["listed"]}
    last = {"kind": "out", "step": "", "code": "samples in shards", "number": header["written"]}
    return [first, *lost, last]


def splits(survey: Survey) -> Table:
    """Return the images, studies and patients of each split."""
    return [
        {
            "name": split,
            "images": survey.images[split],
            "studies": len(survey.studies[split]),
            "patients": len(survey.patients[split]),
        }
        for split in SPLITS
        if survey.images[split]
    ]


def shared_patients(survey: Survey) -> int:
    """Return the number of patients with images in more than one split."""
    counts = Counter(patient for each in survey.patients.values() for patient in each)
    return sum(number > 1 for number in counts.values())


def labels(survey: Survey) -> Table:
    """Return how many images have each value of a label, the label with most positives first."""
    rows = []
    for name, values in survey.labels.items():
        unmentioned = survey.total - values.total()
        numbers = {"positive": values[1], "uncertain": values[-1], "negative": values[0]}
        rows.append({"name": name, "unmentioned": unmentioned} | numbers)
    return sorted(rows, key=lambda row: (-row["positive"], row["name"]))


def boxes(survey: Survey) -> Table:
    """Return the number of boxes by layer and label; the collection's own have no layer."""
    ordered = sorted(survey.boxes.items(), key=lambda item: (item[0][1], -item[1], item[0][0]))
    return [{"label": key[0], "layer": key[1], "number": number} for key, number in ordered]


def shares(rows: Iterable[tuple[str, int]], whole: int = 0) -> Table:
    """Return rows with their share, in percent, of `whole` or else of the sum."""
    listed = list(rows)
    whole = whole or sum(number for _, number in listed)
    return [
        {"name": name, "number": number, "share": 100 * number / whole} for name, number in listed
    ]


def _ordered(counts: Mapping[str, int], order: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, counts[name]) for name in order if counts.get(name)]


def _by_number(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _ages(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (item[0] == UNKNOWN, _first(item[0])))


def _first(band: str) -> int:
    return int(band.split("-")[0]) if band[0].isdigit() else 0
