"""Finds the lexicon's terms in a sentence: findings, structures, qualities, devices and so on.

One phrase table holds findings.yaml, structures.yaml, qualities.yaml, normals.yaml, devices.yaml
and device_types.yaml. The longest phrase wins, and articles do not count.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import homographs
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Phrases

_ARTICLES = lexicon.words("grammar", "articles")


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry of findings.yaml."""

    name: str
    labels: tuple[str, ...] = ()
    noun: str = "count"  # count, mass, plural: the grammar of a statement
    generic: bool = False  # "abnormality", "disease": it does not say which
    soft_labels: bool = False  # counts for its labels only as uncertain


@dataclass(frozen=True, slots=True)
class Structure:
    """An entry of structures.yaml."""

    name: str
    normal_means: tuple[str, ...] = ()
    plural: bool = False
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Quality:
    """An entry of qualities.yaml: the finding it makes of each structure; compared by identity."""

    of: Mapping[str, str]
    any: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """An entry of device_types.yaml."""

    name: str
    labels: tuple[str, ...] = ()
    noun: str = "count"  # as of a finding
    said: str = ""  # how a statement names it


class Term(NamedTuple):
    """A term of the lexicon at tokens[start:end]: its kind and its entries."""

    kind: str  # finding, structure, quality, normal, stable, support, hardware
    start: int
    end: int
    entries: tuple[Any, ...]


@functools.cache
def findings() -> Mapping[str, Finding]:
    """Return the findings by name, in the lexicon's order."""
    rows = [row for group in lexicon.load("findings").values() for row in group]
    return {row["name"]: _finding(row) for row in rows}


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        row["name"],
        tuple(row.get("labels", ())),
        row.get("noun", "count"),
        row.get("generic") == "true",
        row.get("soft_labels") == "true",
    )


@functools.cache
def structures() -> Mapping[str, Structure]:
    """Return the structures by name."""
    return {
        row["name"]: Structure(
            row["name"],
            tuple(row.get("normal_means", ())),
            row.get("verb") == "plural",
            row.get("whole") == "true",
        )
        for row in lexicon.load("structures")
    }


@functools.cache
def devices() -> Mapping[str, Device]:
    """Return the types of devices by name."""
    return {
        row["name"]: Device(
            row["name"],
            ("Support Devices",) if row.get("counts") == "true" else (),
            row.get("noun", "count"),
            row.get("said", row["name"]),
        )
        for row in lexicon.load("device_types")
    }


@functools.cache
def _phrases() -> Phrases:
    entries: list[tuple[str, tuple[str, Any]]] = []
    for group in lexicon.load("findings").values():
        entries += [(t, ("finding", findings()[r["name"]])) for r in group for t in r["terms"]]
    for row in lexicon.load("structures"):
        entries += [(t, ("structure", structures()[row["name"]])) for t in row["terms"]]
    for row in lexicon.load("qualities"):
        quality = Quality(row.get("of", {}), row["any"])
        entries += [(t, ("quality", quality)) for t in row["terms"]]
    for row in lexicon.load("device_types"):
        device = devices()[row["name"]]
        kind = "support" if device.labels else "hardware"
        entries += [(t, (kind, device)) for t in row["terms"]]
    for kind, words in (*lexicon.load("normals").items(), *lexicon.load("devices").items()):
        entries += [(t, (kind, t)) for t in words]
    return Phrases((without_articles(phrase), value) for phrase, value in entries)


def without_articles(phrase: str) -> str:
    """Return a phrase of the lexicon without the words that do not count."""
    return " ".join(w for w in phrase.split() if w not in _ARTICLES)


def find(tokens: Sequence[Token]) -> tuple[Term, ...]:
    """Return the lexicon's terms among `tokens` in order, one Term for each kind at a place."""
    words = [token.word for token in tokens]
    places = [i for i, word in enumerate(words) if word not in _ARTICLES]
    terms = []
    for first, last, values in _phrases().find_words([words[i] for i in places]):
        start, end = places[first], places[last - 1] + 1
        for kind, entries in _by_kind(values):
            if kind == "finding":
                entries = _in_context(tokens, start, end, entries)
            if entries:
                terms.append(Term(kind, start, end, entries))
    return tuple(terms)


def _by_kind(values: tuple[tuple[str, Any], ...]) -> Sequence[tuple[str, tuple[Any, ...]]]:
    """Return the kinds of the entries of a phrase, in order, each with its entries."""
    if len(values) == 1:  # most often
        ((kind, entry),) = values
        return ((kind, (entry,)),)
    kinds = dict.fromkeys(kind for kind, _ in values)
    return [(kind, tuple(entry for k, entry in values if k == kind)) for kind in kinds]


def _in_context(
    tokens: Sequence[Token], start: int, end: int, entries: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return the findings that a name means beside the words around it."""
    name = homographs.meaning(tokens, start, end)
    if name is None:
        return entries
    return (findings()[name],) if name else ()
