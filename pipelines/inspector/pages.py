"""Prepares what the pages show, from rows of the table and JSON members, for the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from cxr_vlp.nlp.wording.summary import summary
from cxr_vlp.pipelines import codes
from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, manifest
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.inspector.filters import FIELDS, Filters, Pair
from cxr_vlp.pipelines.inspector.opened import OpenSet

MEANINGS = {1: "positive", 0: "negative", -1: "uncertain"}
_TITLES = {"prior_free": "without priors", "abnormal": "abnormal sentences only"}
_SHOWN_HASHES = 200  # of rejects, for each code


@dataclass(frozen=True)
class Tile:
    """A sample on the page of results."""

    row: Mapping[str, Any]

    @property
    def status(self) -> str:
        """The status of its report; the rules are those of filters.STATUSES."""
        row = self.row
        if not row["sentences"]:
            return "none"
        found = (name for name in ("abnormal", "uncertain", "normal") if row[f"sentences_{name}"])
        return next(found, "nonfinding")

    @property
    def positive(self) -> list[str]:
        """The names of its positive labels."""
        return [name for name, value in labels_of(self.row) if value == 1]

    @property
    def facts(self) -> str:
        """Projection or view, sex and age."""
        row = self.row
        age = "" if row["age"] is None else f"{row['age']} y"
        return ", ".join(filter(None, (row["projection"] or row["view"], row["sex"], age)))

    @property
    def alt(self) -> str:
        """The text in place of the image: view and key, no text of the report."""
        return f"{self.row['view']} view, {self.row['key']}"


def labels_of(row: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return (name, value) of the labels of a row that are mentioned."""
    named = ((n.removeprefix(LABEL), v) for n, v in row.items() if n.startswith(LABEL))
    others = ((other["name"], other["value"]) for other in row["labels_other"] or ())
    return [(name, value) for name, value in (*named, *others) if value is not None]


def chips(filters: Filters) -> list[tuple[str, str]]:
    """Return (text, query without it) of every filter that is set."""
    shown = (pair for pair in filters.pairs if pair[0] != "in")
    return [(_chip(pair, filters), filters.without(pair).query()) for pair in shown]


def _chip(pair: Pair, filters: Filters) -> str:
    name, value = pair
    if name == "label":
        label, _, number = value.rpartition(":")
        return f"{label}: {_value(number)}"
    if name == "q":
        return f"{FIELDS.get(filters.one('in'), 'all texts')}: {value}"
    return f"{name.replace('_', ' ')}: {value}"


def _value(number: str) -> str:
    return {"1": "positive", "0": "negative", "-1": "uncertain"}.get(number, "not mentioned")


@dataclass(frozen=True)
class Piece:
    """A stretch of a sentence; `mentions` are those that cover it."""

    text: str
    mentions: Sequence[Mapping[str, Any]]

    @property
    def assertion(self) -> str:
        """The assertion of the first mention, "" if there is none."""
        return str(self.mentions[0]["assertion"]) if self.mentions else ""

    @property
    def title(self) -> str:
        """One line for each mention."""
        return "\n".join(map(summary, self.mentions))


def pieces(sentence: Mapping[str, Any]) -> list[Piece]:
    """Cut a sentence where a mention begins or ends; mentions may overlap."""
    text, mentions = sentence["text"], sentence["mentions"]
    ends = {0, len(text), *(m[side] for m in mentions for side in ("start", "end"))}
    cuts = sorted(end for end in ends if 0 <= end <= len(text))
    return [
        Piece(text[a:b], [m for m in mentions if m["start"] <= a and b <= m["end"]])
        for a, b in pairwise(cuts)
    ]


def sections(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the judged sentences by section, in the order of the report."""
    found = []
    for name, sentences in groupby(document["sentences"], key=lambda each: each["section"]):
        rows = [{**sentence, "pieces": pieces(sentence)} for sentence in sentences]
        found.append({"name": name.replace("_", " "), "sentences": rows})
    return found


def other_texts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (title, text) of the other sections and of the derived texts that are not empty."""
    named = {name: document[name] for name in ("abnormal", "prior_free")}
    translated = {f"{name}, translated": t for name, t in document["translations"].items()}
    # the sentences show them, but a report may have none
    whole = () if document["sentences"] else ("findings", "impression")
    parts = {name: document[name] for name in whole}
    texts = {**document["sections"], **parts, **named, **translated}
    return [(_TITLES.get(n, n.replace("_", " ")), text) for n, text in texts.items() if text]


def flow(opened: OpenSet) -> list[tuple[str, int]]:
    """Return the lines of a set's flow table, from images listed to samples written."""
    header = opened.header
    return accounting.rows(header["listed"], header["dropped"], header["written"], "samples")


def splits(opened: OpenSet) -> list[dict[str, Any]]:
    """Return the counts of every split of a set, from its manifest."""
    names = ("samples", "studies", "patients", "bytes")
    rows = []
    for split in SPLITS:
        lines = [line for line in opened.lines if line["split"] == split]
        tars = sum(bool(line["samples"]) for line in lines)
        rows.append({"split": split, "tars": tars} | {n: sum(x[n] for x in lines) for n in names})
    return rows


def rejects(opened: OpenSet) -> list[dict[str, Any]]:
    """Return the rejects of a set by step and code, with meaning and remedy.

    They end at the first line that is no reject.
    """
    images, hashes = Counter[tuple[str, str]](), dict[tuple[str, str], list[str]]()
    for row in _reject_rows(opened):
        name = (row["step"], row["code"])
        images[name] += row["images"]
        if len(known := hashes.setdefault(name, [])) < _SHOWN_HASHES:
            known.append(row["key_hash"])
    return [
        {"step": step, "code": code, "images": number, "hashes": hashes[step, code]}
        | _explained(code)
        for (step, code), number in sorted(images.items())
    ]


def notes(opened: OpenSet) -> list[dict[str, Any]]:
    """Return the notes of a set, with meaning and remedy."""
    counts = opened.header["notes"].items()
    return [{"code": code, "images": number} | _explained(code) for code, number in counts]


def explained(found: Iterable[str]) -> list[dict[str, str]]:
    """Return codes with meaning and remedy."""
    return [{"code": code} | _explained(code) for code in found]


def rejects_add_up(opened: OpenSet) -> bool:
    """Return whether the images of the rejects file add up to those of the header."""
    return sum(row["images"] for row in _reject_rows(opened)) == sum(
        opened.header["dropped"].values()
    )


def _reject_rows(opened: OpenSet) -> Iterator[Mapping[str, Any]]:
    try:
        for row in jsonl.read_records(opened.folder / manifest.REJECTS):
            if not manifest.typed(row, manifest.REJECT):
                return
            yield row
    except (OSError, ValueError, RecursionError):
        return  # the page says that the rejects do not add up


def _explained(code: str) -> dict[str, str]:
    meaning, remedy = codes.of(code)
    return {"meaning": meaning, "remedy": remedy}


def numbers_of_pages(this: int, last: int) -> list[int | None]:
    """Return the pages that a pager links, None for a gap.

    >>> numbers_of_pages(6, 20)
    [1, None, 5, 6, 7, None, 20]
    """
    near = sorted({1, last, *range(max(1, this - 1), min(last, this + 1) + 1)})
    found: list[int | None] = []
    for before, number in pairwise([0, *near]):
        found += [None, number] if number > before + 1 else [number]
    return found
