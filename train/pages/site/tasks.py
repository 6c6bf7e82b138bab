"""The page of the tasks beside zero-shot classification: a table for each that ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cxr_vlp.train.pages.site import tables, words
from cxr_vlp.train.pages.site.evaluations import Evaluated
from cxr_vlp.train.pages.site.page import Page, Site

# file of an evaluation -> title, and what its numbers are
TASKS = {
    "retrieval.csv": (
        "Retrieval",
        "R@K: the share of queries whose match is among the K nearest. The best rank of the match "
        "is 1. Identical texts are one text.",
    ),
    "grounding.csv": (
        "Grounding",
        "The model's heat map against the boxes of radiologists: whether its highest point is in a "
        "box (pointing game; by chance, the boxes' share of the image), overlap with the boxes "
        "(IoU, Dice), and contrast of inside to outside (CNR).",
    ),
    "probe.csv": (
        "Linear probe",
        "A linear classifier on the frozen features of images, learnt on a share of the train "
        "patients. Spread, lowest and highest are over the draws of this share.",
    ),
    "negation.csv": (
        "Negation",
        "The share of pairs in which the statement that is true of an image outscores the one that "
        "is not: of images with the finding, without it, and the mean of both. Chance is 0.5.",
    ),
    "readers.csv": (
        "Radiologists",
        "Each reader against the truth, on the images that were read, and the model on the same "
        "images.",
    ),
    "fairness.csv": (
        "Groups of patients",
        "The measures in groups of patients and images. A gap is the highest value minus the "
        "lowest; it is no gap where its interval holds 0.",
    ),
}
PAGE = "tasks.html"
MEAN = "mean"  # the collection or label of a row that is a mean
WHOLE = (MEAN, "macro", "all", "")  # labels of rows that are of no single label
KEYS = (  # what a row is of, beside the evaluation
    "collection", "layer", "direction", "label", "kind", "measure", "share", "attribute", "group",
    "reader",
)  # fmt: skip
TRUTHS = {"present": "with the finding", "absent": "without it", "both": "mean of both"}

Row = dict[str, str]


def pages(site: Site) -> Iterator[Page]:
    """Yield the page, where a task ran."""
    found = [task for name in TASKS if (task := _task(name, site.evaluations))]
    if found:
        yield Page(PAGE, "Other tasks", "tasks.html", {"tasks": found}, menu="Other tasks")


def _task(file: str, evaluations: Sequence[Evaluated]) -> dict[str, Any] | None:
    """Return the tables of a task over all evaluations; None where it ran in none."""
    shape = SHAPES.get(file, lambda row: row)
    rows: list[Row] = []
    for each in evaluations:
        name = {"evaluation": each.name} if len(evaluations) > 1 else {}
        rows += [name | shape(dict(row)) for row in each.table(file)]
    if not rows:
        return None
    names = list(dict.fromkeys(key for row in rows for key in row))
    even = _ordered([{key: row.get(key, "") for key in names} for row in rows])
    known = [row for row in even if not row.get("why")]
    first = _of_all([row for row in known if row.get("label", "") in WHOLE])
    title, about = TASKS[file]
    return {
        "name": file.partition(".")[0],
        "title": title,
        "about": about,
        "table": tables.tidy(first) if first else None,
        "parts": _parts([row for row in known if row.get("label", "") not in WHOLE]),
        "unmeasured": _unmeasured([row for row in even if row.get("why")]),
    }


def _unmeasured(rows: Sequence[Row]) -> tables.Table | None:
    """Return the table of what is not measured and why: a row each, not one for each measure."""
    of_value = {"label", "measure", "value", *tables.ENDS}
    found = [{k: v for k, v in row.items() if k not in of_value} for row in rows]
    different = list({tuple(row.values()): row for row in found}.values())
    return tables.tidy(different) if different else None


def _of_all(rows: list[Row]) -> list[Row]:
    """Return the rows that are of no single label, without a column that says so each time."""
    if len({row.get("label") for row in rows}) > 1:
        return rows
    return [{key: value for key, value in row.items() if key != "label"} for row in rows]


def _parts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of single labels: a table for each collection, without what has no value."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.get("collection", ""), []).append(row)
    made = []
    for name, mine in found.items():
        kept = [row for row in mine if row.get("value", "there")]
        if kept:
            made.append({"collection": name, "table": tables.tidy(kept)})
    return made


def _ordered(rows: list[Row]) -> list[Row]:
    """Return the rows of all evaluations beside each other, the mean over collections first."""
    keys = [name for name in KEYS if name in rows[0]]
    places: dict[tuple[str, ...], int] = {}
    for row in rows:
        places.setdefault(tuple(row[name] for name in keys), len(places))
    return sorted(
        rows,
        key=lambda row: (row.get("collection") != MEAN, places[tuple(row[name] for name in keys)]),
    )


def _negation(row: Row) -> Row:
    """Return a row with the truth of the images as its measure, and their number as a note."""
    images, truth = row.pop("images"), row.pop("truth")
    note = f"{words.count(images)} images" if images else ""
    return row | {"measure": TRUTHS.get(truth, truth), "note": note, "chance": ""}


def _fairness(row: Row) -> Row:
    """Return a row with the groups of a gap as a note; rates are of no label: of all."""
    lowest, highest = row.pop("lowest"), row.pop("highest")
    note = f"{lowest} to {highest}" if lowest else ""
    return row | {"label": row["label"] or MEAN, "note": note}


def _probe(row: Row) -> Row:
    return {k: f"{float(v):.0%}".replace("%", " %") if k == "share" else v for k, v in row.items()}


SHAPES: dict[str, Callable[[Row], Row]] = {
    "negation.csv": _negation,
    "fairness.csv": _fairness,
    "probe.csv": _probe,
}
