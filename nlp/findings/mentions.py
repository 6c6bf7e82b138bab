"""Assertions: a sentence in, its mentions of findings out, each present, absent or uncertain.

`mentions` knows the lexicon; `assertion` answers for any span of any clinical English.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.context.discourse import find as find_discourse
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, Ruling, Scopes
from cxr_vlp.nlp.findings import readings, terms
from cxr_vlp.nlp.findings.attachment import (
    describes_device,
    of_device,
    structure_near,
    structures_of,
)
from cxr_vlp.nlp.findings.modifiers import Modifiers, modifiers_of
from cxr_vlp.nlp.findings.readings import Mention, Reading
from cxr_vlp.nlp.findings.terms import Finding, Quality, Structure, Term
from cxr_vlp.nlp.match import windows

__all__ = ["Mention", "Reading", "assertion", "mentions", "read"]

_LAST_RESORT = "abnormality"
_COPULA = 3  # tokens: "appears to be"
_LINKING = frozenset({"is", "are", "was", "were", "appear", "remain", "to", "be", "all"})


def assertion(sentence: str, start: int, end: int) -> str:
    """Return whether sentence[start:end] is present, absent or uncertain by the words around it.

    Raises ValueError where the span holds no word.
    """
    near, shift = windows.around(sentence, start, end)
    scopes = scope.read(near)
    first, last = _token_span(scopes, start - shift, end - shift)
    return scope.rule(scopes, first, last).assertion


def _token_span(scopes: Scopes, start: int, end: int) -> tuple[int, int]:
    inside = [i for i, t in enumerate(scopes.tokens) if t.start < end and t.end > start]
    if not inside:
        raise ValueError(f"no word between characters {start} and {end}")
    return inside[0], inside[-1] + 1


def mentions(sentence: str) -> tuple[Mention, ...]:
    """Return the findings and devices `sentence` mentions, in order."""
    return read(sentence).mentions


def read(sentence: str) -> Reading:
    """Return the whole reading of `sentence`, in windows where it is longer than any sentence."""
    parts = windows.pieces(sentence)
    if len(parts) == 1:
        return _read(sentence)
    return readings.join(sentence, [(_read(sentence[a:b]), a) for a, b in parts])


@functools.lru_cache(maxsize=32768)
def _read(sentence: str) -> Reading:
    """Return the reading of one window; the same wording is read once."""
    scopes = scope.read(sentence)
    found = terms.find(scopes.tokens)
    discourse = find_discourse(scopes.tokens)
    devices = tuple(t for t in found if t.kind in ("support", "hardware"))
    normals = tuple(t for t in found if t.kind == "normal" and not of_device(scopes, found, t))
    named = [*_named(scopes, found), *_qualities(scopes, found)]
    real = [(t, f, s) for t, f, s in named if not discourse.governs(t.start)]
    said = [_mention(scopes, found, t, f, s) for t, f, s in real]
    said += _broken(scopes, found, devices)
    said += _not_normal(scopes, normals)
    said += _implied(scopes, found, normals, said)
    said += _device_mentions(scopes, found, devices)
    said.sort(key=lambda m: (m.start, m.end, m.finding))
    return Reading(
        scopes, found, discourse, tuple(said), normals, devices, len(named) - len(real),
        _is_versus(scopes, real),
    )  # fmt: skip


def _named(
    scopes: Scopes, found: tuple[Term, ...]
) -> Iterable[tuple[Term, Finding, Structure | None]]:
    """Yield the findings called by a name of their own."""
    for term in found:
        if term.kind == "finding":
            place = structure_near(scopes, found, term)
            yield from ((term, entry, place) for entry in term.entries)


def _qualities(
    scopes: Scopes, found: tuple[Term, ...]
) -> Iterable[tuple[Term, Finding, Structure | None]]:
    """Yield the findings that an adjective makes of a structure: "enlarged" + heart."""
    for term in found:
        # "displaced fracture": the adjective is the finding's, no finding of its own
        if term.kind != "quality" or any(
            t.kind == "finding" and t.start in (term.start, term.end) for t in found
        ):
            continue
        place = structure_near(scopes, found, term)
        name = _finding_of(term.entries, place)
        if name and not describes_device(scopes, found, term):
            yield term, terms.findings()[name], place


def _finding_of(entries: tuple[Quality, ...], place: Structure | None) -> str:
    if place is not None:
        for quality in entries:
            if place.name in quality.of:
                return quality.of[place.name]
    return next((quality.any for quality in entries if quality.any), "")


def _mention(
    scopes: Scopes, found: tuple[Term, ...], term: Term, finding: Finding, place: Structure | None
) -> Mention:
    ruling = _within_limits(scopes, found, term) or scope.rule(scopes, term.start, term.end)
    extra = modifiers_of(scopes, found, term)
    return Mention(
        finding.name,
        finding.labels[0] if finding.labels else "",
        ruling.assertion,
        scopes.tokens[term.start].start,
        scopes.tokens[term.end - 1].end,
        extra.zone or (place.name if place and not place.whole else ""),
        extra.side,
        extra.severity,
        ruling.trigger,
    )


def _within_limits(scopes: Scopes, found: tuple[Term, ...], term: Term) -> Ruling | None:
    """Return a denial where the finding itself is the subject of a normal predicate.

    "Vascular engorgement is within normal limits" grants that there is none to speak of.
    """
    for other in found:
        if other.kind == "normal" and 0 < other.start - term.end <= _COPULA:
            between = {t.word for t in scopes.tokens[term.end : other.start]}
            if between <= _LINKING and not between.isdisjoint(VERBS):
                words = scopes.words(other.start, other.end)
                return Ruling(ABSENT, words, "normal_predicate")
    return None


def _broken(
    scopes: Scopes, found: tuple[Term, ...], devices: tuple[Term, ...]
) -> Iterable[Mention]:
    """Yield an abnormality for a device said to be broken or out of place."""
    if not devices:
        return
    for term in found:
        if term.kind == "broken" and describes_device(scopes, found, term):
            ruling = scope.rule(scopes, term.start, term.end)
            tokens = scopes.tokens
            yield Mention(
                _LAST_RESORT, "", ruling.assertion, tokens[term.start].start,
                tokens[term.end - 1].end, "", "", "", ruling.trigger,
            )  # fmt: skip


def _not_normal(scopes: Scopes, normals: tuple[Term, ...]) -> Iterable[Mention]:
    """Yield an abnormality for each structure said not to be normal or clear."""
    for term in normals:
        if _is_denied(scopes, term):
            tokens = scopes.tokens
            start, end = tokens[term.start].start, tokens[term.end - 1].end
            yield Mention(_LAST_RESORT, "", PRESENT, start, end, trigger="not")


def _is_denied(scopes: Scopes, term: Term) -> bool:
    """Whether "not" stands within three words before the normal word ("are not entirely clear")."""
    words = [t.word for t in scopes.tokens[max(0, term.start - 3) : term.start]]
    return any(w in ("not", "cannot", "neither", "never", "longer") for w in words)


def _implied(
    scopes: Scopes, found: tuple[Term, ...], normals: tuple[Term, ...], said: list[Mention]
) -> list[Mention]:
    """Return the findings that "normal" denies of the structures it is said of."""
    named = {m.finding for m in said}
    implied = []
    for term in normals:
        if _is_denied(scopes, term):
            continue
        for place in structures_of(scopes, found, term):
            for name in place.entries[0].normal_means:
                if name not in named:
                    named.add(name)
                    implied.append(_implied_mention(scopes, term, place, name))
    return implied


def _implied_mention(scopes: Scopes, term: Term, place: Term, name: str) -> Mention:
    finding, tokens = terms.findings()[name], scopes.tokens
    return Mention(
        name,
        finding.labels[0] if finding.labels else "",
        ABSENT,
        tokens[place.start].start,
        tokens[place.end - 1].end,
        place.entries[0].name if not place.entries[0].whole else "",
        trigger=scopes.words(term.start, term.end),
        implied=True,
    )


def _device_mentions(
    scopes: Scopes, found: tuple[Term, ...], devices: tuple[Term, ...]
) -> Iterable[Mention]:
    """Yield a Support Devices mention for each supporting device: absent once removed."""
    is_gone = any(t.kind == "gone" for t in found)
    for term in devices:
        if term.kind != "support":
            continue
        ruling = scope.rule(scopes, term.start, term.end)
        start, end = scopes.tokens[term.start].start, scopes.tokens[term.end - 1].end
        state = ABSENT if is_gone else ruling.assertion
        extra: Modifiers = modifiers_of(scopes, found, term)
        yield Mention(
            "support device", "Support Devices", state, start, end, "", extra.side, "",
            ruling.trigger, device=True,
        )  # fmt: skip


def _is_versus(scopes: Scopes, real: list[tuple[Term, Finding, Structure | None]]) -> bool:
    """Whether two findings stand on both sides of "versus": then one of them is there."""
    for place, token in enumerate(scopes.tokens):
        if token.word in ("versus", "vs"):
            sides = {t.end <= place for t, f, _ in real}
            return len(sides) == 2
    return False
