"""Models: an installed spaCy or scispaCy model as a second opinion where the lexicon has none.

The engine needs no model. Where one is named, it is asked only about sentences that the rules leave
unsure; its entities become mentions with the assertion that our scopes give them.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN
from cxr_vlp.nlp.findings.mentions import Mention, assertion
from cxr_vlp.nlp.status import Status

UNSURE_RULES = frozenset({"claim.unknown", "nothing.known"})


@functools.lru_cache(maxsize=4)
def _pipeline(name: str) -> Any:
    """Return the spaCy pipeline `name`; ValueError with the fix where it is not installed."""
    import spacy

    try:
        return spacy.load(name, exclude=["parser", "lemmatizer", "attribute_ruler"])
    except OSError as error:
        raise ValueError(
            f"spaCy model {name!r} is not installed: install it from its publisher's own release "
            "page, or leave texts.model empty"
        ) from error


@functools.lru_cache(maxsize=4)
def identity(name: str) -> str:
    """Return the sha256 over the files of the pipeline `name`; ValueError as `_pipeline`."""
    folder = Path(_pipeline(name).path)
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return total.hexdigest()


def mentions(sentence: str, model: str) -> tuple[Mention, ...]:
    """Return the entities `model` finds in `sentence` as mentions without a label."""
    found = []
    for entity in _pipeline(model)(sentence).ents:
        start, end = entity.start_char, entity.end_char
        if any(c.isalnum() for c in sentence[start:end].replace("X", "")):
            found.append(_mention(sentence, start, end))
    return tuple(found)


def _mention(sentence: str, start: int, end: int) -> Mention:
    try:
        state = assertion(sentence, start, end)
    except ValueError:  # an entity of masks only
        state = UNCERTAIN
    return Mention(sentence[start:end].lower(), "", state, start, end)


@functools.lru_cache(maxsize=32768)
def second_look(sentence: str, status: Status, model: str) -> Status:
    """Return `status`, or what the model's entities make of a sentence the rules are unsure of."""
    if status.rule not in UNSURE_RULES:
        return status
    found = mentions(sentence, model)
    states = {m.assertion for m in found}
    if PRESENT in states:
        return Status("abnormal", "", found, "model.present")
    if UNCERTAIN in states:
        return Status("uncertain", "", found, "model.hedged")
    if ABSENT in states:
        return Status("normal", "", found, "model.denied")
    return status
