"""Uses an installed spaCy or scispaCy pipeline for sentences that the rules cannot decide.

The engine needs no model, and without one neither spaCy nor scispaCy is imported or decides
anything. A pipeline named by `texts.model` or `cxr-vlp annotate --model` helps in two ways, both
only for sentences whose rule is in UNSURE_RULES:

    abbreviations  scispaCy's AbbreviationDetector (Schwartz & Hearst, 2003) finds those that a
                   report defines: "right upper lobe consolidation (RULC)". A later "The RULC has
                   grown." is read with the long form, by the rules. Rule: model.abbreviation.
    entities       an entity that the lexicon lacks becomes a mention, and the scopes of the
                   sentence say whether it is present. Which entity labels count as findings is in
                   lexicon/en/models.yaml. Rules: model.present, model.hedged, model.denied.

Entity linking and scispaCy's hyponym detector are not used: they need a downloaded knowledge base
or a parser, and change no decision here. Negation comes from our own scopes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.certainty import CERTAINTY_OF
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import assertion
from cxr_vlp.nlp.status import Status, classify

UNSURE_RULES = frozenset({"claim.unknown", "nothing.known"})
REMEDY = 'pip install "cxr-vlp[scispacy]"'
_PACKAGES = ("spacy", "scispacy")
# components of a pipeline that decide nothing here, or need what cannot be had
_UNUSED = ("parser", "lemmatizer", "attribute_ruler", "abbreviation_detector",
           "hyponym_detector", "scispacy_linker")  # fmt: skip

LongForms = tuple[tuple[str, str], ...]  # (abbreviation, long form), sorted


class ModelError(ValueError):
    """A pipeline that cannot be used; the message says what to do."""


@functools.lru_cache(maxsize=4)
def load(name: str) -> Any:
    """Return the spaCy pipeline `name`: an installed package, or the folder of a saved pipeline.

    Raises ModelError with the remedy where spaCy, scispaCy or the pipeline is not installed.
    """
    try:
        import scispacy.abbreviation  # noqa: F401 - it registers the component
        import spacy
    except ImportError as error:
        raise ModelError(
            f"model {name!r} needs spaCy and scispaCy: {REMEDY}, or name no model"
        ) from error
    try:
        return spacy.load(name, exclude=_UNUSED)
    except OSError as error:
        raise ModelError(
            f"spaCy model {name!r} is not installed: install it from its publisher's own release "
            "page, or leave texts.model empty"
        ) from error
    except ValueError as error:  # a component that is not registered, or a damaged file
        raise ModelError(
            f"spaCy model {name!r} cannot be loaded: install the packages that its components come "
            "from, or leave texts.model empty"
        ) from error


def toolchain(model: str) -> dict[str, str]:
    """Return the versions that decide what `model` adds; {} where no model is named.

    The pipeline's name is the one that its publisher gave it, never a path. Raises ModelError as
    `load` does.

    >>> toolchain("")
    {}
    """
    if not model:
        return {}
    meta = load(model).meta
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {**versions, "model": f"{meta['lang']}_{meta['name']} {meta['version']}"}


@functools.lru_cache(maxsize=4)
def identity(model: str) -> str:
    """Return the sha256 over `toolchain(model)` and the files of the pipeline.

    It is part of every text fingerprint made with a model. Raises ModelError as `load` does.
    """
    folder = Path(load(model).path)
    total = hashlib.sha256(json.dumps(toolchain(model), sort_keys=True).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return total.hexdigest()


@functools.lru_cache(maxsize=4)
def _detector(model: str) -> Any:
    from scispacy.abbreviation import AbbreviationDetector

    return AbbreviationDetector(load(model))


def long_forms(report: str, model: str) -> LongForms:
    """Return the abbreviations that a report defines, each with its long form, sorted."""
    if "(" not in report:  # a definition has brackets
        return ()
    doc = _detector(model)(load(model).make_doc(report))
    found = {short.text: short._.long_form.text for short in doc._.abbreviations}
    return tuple(sorted(found.items()))


@functools.lru_cache(maxsize=32768)
def second_look(sentence: str, status: Status, model: str, known: LongForms = ()) -> Status:
    """Return `status`, or what the model makes of a sentence that the rules are unsure of.

    `known`: the abbreviations that the sentence's report defines (`long_forms`).
    """
    if status.rule not in UNSURE_RULES:
        return status
    return _by_abbreviation(sentence, known) or _by_entities(sentence, model) or status


def _by_entities(sentence: str, model: str) -> Status | None:
    found = mentions(sentence, model)
    states = {m.assertion for m in found}
    if PRESENT in states:
        return Status("abnormal", "", found, "model.present")
    if UNCERTAIN in states:
        return Status("uncertain", "", found, "model.hedged")
    if ABSENT in states:
        return Status("normal", "", found, "model.denied")
    return None


def mentions(sentence: str, model: str) -> tuple[Mention, ...]:
    """Return the entities of `sentence` that name findings as mentions without a label."""
    labels = lexicon.words("models", "finding_labels")
    found = []
    for entity in load(model)(sentence).ents:
        start, end = entity.start_char, entity.end_char
        is_masked = not any(c.isalnum() for c in sentence[start:end].replace("X", ""))
        if entity.label_ in labels and not is_masked:
            state = assertion(sentence, start, end) or UNCERTAIN
            name, certainty = sentence[start:end].lower(), CERTAINTY_OF[state]
            found.append(Mention(name, "", state, start, end, certainty=certainty))
    return tuple(found)


class _Expansion(NamedTuple):
    """A sentence with its abbreviations written out; places[i] is (start, end) of text[i] there."""

    text: str
    places: tuple[tuple[int, int], ...]


def _by_abbreviation(sentence: str, known: LongForms) -> Status | None:
    """Return what the rules say of the sentence with its abbreviations written out, or None."""
    expansion = _expanded(sentence, known)
    if expansion is None:
        return None
    status = classify(expansion.text)
    if status.rule in UNSURE_RULES:
        return None
    found = tuple(_moved(m, expansion.places) for m in status.mentions)
    rule = status.rule if status.status == "nonfinding" else "model.abbreviation"
    return dataclasses.replace(status, mentions=found, rule=rule, mixed=False)


def _expanded(sentence: str, known: LongForms) -> _Expansion | None:
    """Return the sentence with the known abbreviations written out; None where it has none."""
    table = dict(known)
    if not table:
        return None
    pattern = "|".join(re.escape(short) for short in sorted(table, key=len, reverse=True))
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    last = 0
    for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", sentence):
        pieces += [sentence[last : match.start()], table[match.group()]]
        places += _one_by_one(range(last, match.start()))
        places += [match.span()] * len(table[match.group()])
        last = match.end()
    if not last:
        return None
    places += _one_by_one(range(last, len(sentence)))
    return _Expansion("".join(pieces) + sentence[last:], tuple(places))


def _one_by_one(characters: range) -> Iterable[tuple[int, int]]:
    return ((place, place + 1) for place in characters)


def _moved(mention: Mention, places: tuple[tuple[int, int], ...]) -> Mention:
    """Return a mention of the expanded sentence with its place in the sentence itself."""
    start, end = places[mention.start][0], places[mention.end - 1][1]
    return dataclasses.replace(mention, start=start, end=end)
