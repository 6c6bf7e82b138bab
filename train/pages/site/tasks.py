"""The page of the tasks beside zero-shot classification: a table for each that ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cxr_vlp.train.pages.site import tables
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
        "box (pointing game), overlap with the boxes, and contrast between inside and outside.",
    ),
    "probe.csv": (
        "Linear probe",
        "A linear classifier on the frozen features of images, learnt on a share of the patients.",
    ),
    "negation.csv": (
        "Negation",
        "The share of pairs in which the statement that is true of an image outscores its denial.",
    ),
    "readers.csv": (
        "Radiologists",
        "Each reader against the truth, on the images that were read, and the model on the same "
        "images.",
    ),
    "fairness.csv": (
        "Groups of patients",
        "The measures in groups by sex, age and view. A gap is the highest value minus the lowest.",
    ),
}
PAGE = "tasks.html"


def pages(site: Site) -> Iterator[Page]:
    """Yield the page, where a task ran."""
    found = [task for name in TASKS if (task := _task(name, site.evaluations))]
    if found:
        yield Page(PAGE, "Other tasks", "tasks.html", {"tasks": found}, menu="Other tasks")


def _task(file: str, evaluations: Sequence[Evaluated]) -> dict[str, Any] | None:
    """Return the table of a task over all evaluations; None where it ran in none."""
    rows: list[dict[str, str]] = []
    for each in evaluations:
        name = {"evaluation": each.name} if len(evaluations) > 1 else {}
        rows += [{**name, **row} for row in each.table(file)]
    if not rows:
        return None
    names = list(dict.fromkeys(key for row in rows for key in row))
    even = [{key: row.get(key, "") for key in names} for row in rows]
    title, about = TASKS[file]
    return {
        "name": file.partition(".")[0],
        "title": title,
        "about": about,
        "table": tables.tidy(even),
    }
