"""Reads the lexicon: the word lists in YAML that the engine uses, in a folder for each language.

Every scalar is read as a string, because YAML would turn the word "no" into False. README.md of
`cxr_vlp.nlp` says what each file holds and how to add a word.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
LANGUAGE = "en"  # the language in which the engine reads reports
_PHRASES = ("findings", "structures", "qualities", "normals", "devices", "device_types",
            "device_places", "device_words", "places", "change", "cues", "grammar", "modifiers",
            "discourse", "word_forms", "layout", "headings")  # fmt: skip
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the C reader is ten times as fast


def files() -> tuple[Path, ...]:
    """Return the lexicon's files in the order of their names; that on other languages is last."""
    return (*sorted((FOLDER / LANGUAGE).glob("*.yaml")), FOLDER / "languages.yaml")


@functools.cache
def load(name: str) -> Any:
    """Return the content of `{name}.yaml`. All callers share it, so do not change it."""
    with (FOLDER / LANGUAGE / f"{name}.yaml").open(encoding="utf-8") as file:
        return yaml.load(file, Loader=_LOADER)


@functools.cache
def languages() -> Any:
    """Return the words by which other languages are known: code -> {"words": [], "stems": []}."""
    with (FOLDER / "languages.yaml").open(encoding="utf-8") as file:
        return yaml.load(file, Loader=_LOADER)


def words(name: str, group: str) -> frozenset[str]:
    """Return one list of `{name}.yaml` as a set."""
    return frozenset(load(name)[group])


@functools.cache
def vocabulary() -> frozenset[str]:
    """Return every word of the lexicon's phrases, in lower case and as it is written there."""
    return frozenset[str]().union(*map(words_of, _PHRASES))


def words_of(name: str) -> set[str]:
    """Return every word of `{name}.yaml`, in lower case and as it is written there."""
    return set(re.findall(r"[a-z]+", " ".join(_strings(load(name))).lower()))


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for part in (*node.keys(), *node.values()) if isinstance(node, dict) else node:
            yield from _strings(part)


def pattern(name: str, group: str) -> str:
    """Return a regular expression for any phrase of one list of `{name}.yaml`, without groups.

    A star in a phrase matches any letters. The pattern has no word boundaries: the caller adds
    them.
    """
    phrases = sorted(load(name)[group], key=lambda phrase: (-len(phrase), phrase))
    return "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in phrases)


@functools.cache
def digest() -> str:
    """Return the sha256 over the bytes of all files; it is part of every text fingerprint."""
    total = hashlib.sha256()
    for path in files():
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
