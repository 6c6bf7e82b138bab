"""Reads a prompt bank: the frames and names that prompts are made from, ours or a user's.

[a|b] in a text of the file stands for two texts. A file of the older shape, without {bare}, is
read as before: a name loses its article where it is denied or stands first.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.nlp import lexicon

POLARITIES = ("positive", "negative", "uncertain")
_SAID = ("frames", "names", "no_finding")  # a part of a product may be left out, these may not
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_PLACES = ("{x}", "{bare}")  # of the name in a frame


@dataclass(frozen=True)
class Bank:
    """The frames and names that prompts are made from."""

    frames: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[str, ...]]
    no_finding: Mapping[str, tuple[str, ...]]
    products: Mapping[str, Mapping[str, tuple[str, ...]]]
    plurals: frozenset[str] = field(default_factory=frozenset)  # names that take "are"


@functools.cache
def own_bank(path: str = "") -> Bank:
    """Return our own bank, or the user's file of the same shape at `path`.

    Raises ValueError naming what an own file lacks, FileNotFoundError where there is none.
    """
    raw = _raw(path)
    bank = Bank(
        _as_now(_wordings(raw, "frames", path)),
        _wordings(raw, "names", path),
        _wordings(raw, "no_finding", path),
        {label: _wordings(raw["products"], label, path) for label in raw.get("products", ())},
        frozenset(_plurals(raw, path)),
    )
    for label, parts in bank.products.items():
        if set(parts) != {"severity", "subtype", "location"}:
            raise ValueError(f"{path}: products: {label} needs severity, subtype and location")
    for name in ("frames", "no_finding"):
        lacking = set(POLARITIES) - set(getattr(bank, name))
        if lacking:
            raise ValueError(f"{path}: {name} also needs {', '.join(sorted(lacking))}")
    frames = itertools.chain(*bank.frames.values())
    if not all(any(place in frame for place in _PLACES) for frame in frames):
        raise ValueError(f"{path}: every frame needs {{x}}, the place of the finding's name")
    return bank


def expanded(text: str) -> tuple[str, ...]:
    """Return the texts that a text with brackets stands for, in a fixed order.

    >>> expanded("No [mass|nodule].")
    ('No mass.', 'No nodule.')
    """
    match = _CHOICE.search(text)
    if match is None:
        return (text,)
    before, after = text[: match.start()], text[match.end() :]
    return tuple(t for part in match[1].split("|") for t in expanded(before + part + after))


def _wordings(raw: Any, part: str, path: str) -> dict[str, tuple[str, ...]]:
    """Return one part of a bank; an empty list or text would make an empty prompt."""
    rows = raw.get(part) if isinstance(raw, Mapping) else None
    if not isinstance(rows, Mapping):
        message = f"{path}: a prompt bank needs frames, names and no_finding; it lacks {part}"
        raise ValueError(message)  # noqa: TRY004 - the file is wrong
    for name, words in rows.items():
        if not isinstance(words, list) or not words:
            raise ValueError(f"{path}: {part}: {name} needs a list of texts")
        if part in _SAID and not all(str(w).strip() for w in words):
            raise ValueError(f"{path}: {part}: {name} needs texts, none of them empty")
    return {
        name: tuple(dict.fromkeys(text for word in words for text in expanded(str(word))))
        for name, words in rows.items()
    }


def _plurals(raw: Mapping[str, Any], path: str) -> list[str]:
    names = raw.get("plurals", [])
    if not isinstance(names, list):
        raise ValueError(f"{path}: plurals needs a list of names")  # noqa: TRY004 - the file
    return names


def _as_now(frames: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the frames of a file of the older shape in the present one."""
    if any("{bare}" in frame for frame in itertools.chain(*frames.values())):
        return frames
    return {polarity: tuple(map(_with_bare, rows)) for polarity, rows in frames.items()}


def _with_bare(frame: str) -> str:
    loses_article = ("o {x}", "Possible {x}", "Probable {x}")
    if frame.startswith("{x}") or any(part in frame for part in loses_article):
        return frame.replace("{x}", "{bare}")
    return frame


def _raw(path: str) -> Any:
    if not path:
        return lexicon.load("prompts")
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML") from error
