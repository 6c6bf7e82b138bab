"""Reads the labels of a row: columns of values, or a list of names."""

from __future__ import annotations

import ast
import functools
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cxr_vlp.nlp.labels import NO_FINDING, canonical
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.format.sample import LABELS
from cxr_vlp.pipelines.sources.base import LABEL_VALUES
from cxr_vlp.pipelines.sources.table.options import Labels

LONGEST_NAME = 100  # characters; more is a sentence, not the name of a label
_QUOTES = "'\" "
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_ADJACENT = re.compile(r"""['"]\s*['"]""")  # Python would join such strings to one
_MARKS = ";,"  # which may separate names where the options give no separator
_NO_NAMES = frozenset({"true", "false", "yes", "no", "y", "n"})


def label_of(name: str, names: Mapping[str, str]) -> str:
    """Return the label that a column or a name of a list stands for, "" for none."""
    if name in names:
        return canonical(names[name]) if names[name] else ""
    renamed = _folded(tuple(names.items())).get(_key(name))
    return canonical(name if renamed is None else renamed) if renamed != "" else ""


@functools.lru_cache(maxsize=64)
def _folded(names: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {_key(name): label for name, label in names}


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def in_row(
    options: Labels | None, row: Row, complete: Iterable[str], notes: Counter[str]
) -> dict[str, int]:
    """Return label -> 1, 0, -1 of a row; {} where it gives none.

    `complete`: the labels of a complete family that `options` does not list. A value that is not
    known, or a name that is not of the family, is noted; then nothing is set to 0. A list of names
    that stand for no label says that all labels of its family are absent.
    """
    if options is None:
        return {}
    bad = notes.total()
    found = _of_columns(options, row, notes) | _of_list(options, row, notes)
    family = [label for name in options.of if (label := label_of(name, options.names))]
    if family and options.list:
        strange = set(found) - {*family, NO_FINDING}
        notes[f"label.bad_value:{options.list}"] += len(strange)
        if options.family == "positive":
            found = {label: value for label, value in found.items() if label not in strange}
    says = bool(found) or any(_names(options, row.get(options.list, ""), Counter()))
    if options.family == "complete" and says and notes.total() == bad:
        found = dict.fromkeys(family or [*_columns(options), *complete], 0) | found
    return found


def _columns(options: Labels) -> list[str]:
    return [label for c in options.columns if (label := label_of(c, options.names))]


def _of_columns(options: Labels, row: Row, notes: Counter[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column in options.columns:
        cell = cells.known(row.get(column))
        label = label_of(column, options.names)
        if not cell or not label:
            continue
        value = _value(cell, options.values)
        if value is None:
            notes[f"label.bad_value:{column}"] += 1
        else:
            found[label] = max(found.get(label, value), value, key=RANK.__getitem__)
    return found


RANK = {0: 0, -1: 1, 1: 2}  # positive outweighs uncertain, uncertain outweighs negative
_WORDS = {"true": 1, "false": 0}


def _value(cell: str, words: Mapping[str, int]) -> int | None:
    if cell in words:
        return words[cell]
    lowered = cell.casefold()
    found = next((value for word, value in words.items() if word.casefold() == lowered), None)
    if found is not None:
        return found
    return LABEL_VALUES.get(cell, _WORDS.get(lowered))


def _of_list(options: Labels, row: Row, notes: Counter[str]) -> dict[str, int]:
    found = {}
    for name in _names(options, row.get(options.list, ""), notes):
        if label := label_of(name, options.names):
            found[label] = 1
    return found


def _names(options: Labels, cell: str, notes: Counter[str]) -> Iterator[str]:
    if not options.list:
        return
    listed = _listed(options, cells.known(cell))
    if listed is None:
        notes[f"label.bad_value:{options.list}"] += 1
        return
    for each in listed:
        name = " ".join(cells.known(each).strip(_QUOTES).split())
        if len(name) > LONGEST_NAME or not is_name(name, options.names):
            notes[f"label.bad_value:{options.list}"] += 1
        elif name:
            yield name


def is_name(text: str, names: Mapping[str, str]) -> bool:
    """Return whether a text may name a label: a number or a yes does so only in the options."""
    if cells.number(text) is None and text.casefold() not in _NO_NAMES:
        return True
    return _key(text) in _folded(tuple(names.items()))


def _listed(options: Labels, text: str) -> list[str] | None:
    """Return the names in a cell; None where it is not clear which names it holds."""
    if _BRACKETS.get(text[:1]) == text[-1:]:
        found = _literal(text)
        if found is not None or text[0] != "(":  # a name may begin with a round bracket
            return found
    elif text[:1] == "[":
        return None
    if options.separator:
        return text.split(options.separator)
    return text.split("|") if "|" in text or not _may_be_several(text, options) else None


def _may_be_several(text: str, options: Labels) -> bool:
    """Return whether a cell without a bar holds known names with another mark between them."""
    if not any(mark in text for mark in _MARKS) or _key(text) in _known(options):
        return False
    pieces = [_key(piece.strip(_QUOTES)) for piece in re.split(f"[{_MARKS}]", text)]
    known = _known(options)
    return any(piece in known or canonical(piece) in LABELS for piece in pieces if piece)


def _known(options: Labels) -> set[str]:
    return {_key(name) for name in (*options.names, *options.of)}


def _literal(text: str) -> list[str] | None:
    """Return the names of a list as JSON, Python or numpy writes it; None if it is none."""
    found = _json(text)
    if found is None:
        found = _python(text)
    if not isinstance(found, list | tuple | set):
        return None
    # a missing entry is NaN or None in the lists of some tables
    names = [each for each in found if each is not None and each == each]
    return names if all(isinstance(each, str) for each in names) else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _python(text: str) -> Any:
    try:
        if _ADJACENT.search(text) or "nan" in text:
            text = _with_commas(text)
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
        return None


def _with_commas(text: str) -> str:
    """Return a list with a comma between entries that only blanks separate, as numpy writes it."""
    words: list[str] = []
    before = tokenize.OP
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NL, tokenize.NEWLINE):
            continue
        if before != tokenize.OP and token.type in (tokenize.STRING, tokenize.NAME):
            words.append(",")
        words.append("None" if token.string == "nan" else token.string)
        before = token.type
    return " ".join(words)


def excluded(values: Mapping[str, Sequence[str]], row: Row) -> bool:
    """Return whether a cell of the row, or an entry of its list, has one of its column's values."""
    for column, unwanted in values.items():
        text = cells.known(row.get(column))
        listed = (_literal(text) or []) if text[:1] == "[" else [text]
        if {_key(each) for each in listed} & {_key(each) for each in unwanted}:
            return True
    return False


def names_in(options: Labels | None, row: Row) -> Iterator[str]:
    """Yield the labels that a row's list names, where they make up a complete family."""
    if options and options.list and options.family == "complete" and not options.of:
        yield from _of_list(options, row, Counter())
