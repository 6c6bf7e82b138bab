"""Keeps what can be kept of a sentence that cannot be said again as a whole.

First its parts between commas and joints, of which those are kept that say nothing of change. Then
the noun phrases of its findings: "Left basal atelectasis, which had cleared on the last film, has
recurred." still shows that there is left basal atelectasis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT
from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.mention import REMOVED, RESOLVED, Mention
from cxr_vlp.nlp.findings.mentions import Analysis, analyze
from cxr_vlp.nlp.findings.phrases import tags
from cxr_vlp.nlp.priors.attributes import STATES
from cxr_vlp.nlp.priors.draft import DEGREES, DETERMINERS, Draft, skip
from cxr_vlp.nlp.priors.leftovers import is_gone
from cxr_vlp.nlp.priors.noun_phrases import there_is

_JOINT = re.compile(
    r"\s*[;,]\s+(?:and\s+|but\s+|with\s+)?|\s+(?:but|while|although|whereas|however)\s+"
    rf"|\s+and\s+(?=(?:{lexicon.pattern('priors', 'openings')})\b)"
)
_MOST = 12  # parts of a sentence
_SIZE = re.compile(r"\d+(?:\.\d+)?|x|mm|cm")
_POSITIONS = lexicon.words("places", "positions")
_OF_PLACE = lexicon.words("places", "of_place") - {"to"}


def segments(sentence: str, say: Callable[[str], str]) -> str:
    """Return the parts of a sentence that `say` leaves something of, joined with commas."""
    pieces = [piece for piece in _JOINT.split(sentence) if piece]
    if not 1 < len(pieces) <= _MOST:
        return ""
    said = [say(piece).rstrip(".") for piece in pieces]
    if any(
        not text and is_gone(piece) and not analyze(piece).mentions
        for piece, text in zip(pieces, said, strict=True)
    ):
        return ""  # "effusion, drained, has not recurred"
    return ", ".join(
        text[0].lower() + text[1:] if piece[0].islower() else text
        for piece, text in zip(pieces, said, strict=True)
        if text
    )


def noun_phrases(analysis: Analysis) -> str:
    """Return "There is a ... and a ..." for the findings and devices that are there."""
    said: dict[str, None] = {}
    draft = Draft(analysis.scopes.text, analysis.scopes.tokens, analysis.terms)
    known = _phrase_places(analysis)
    qualities = {
        analysis.scopes.tokens[t.start].start for t in analysis.terms if t.kind == "quality"
    }
    for mention in analysis.mentions:
        if _is_there(mention) and mention.start not in qualities:
            said[_named(draft, mention, known)] = None
    rows = [text for text in said if text]
    rest = [re.sub(r"^[Tt]here (?:is|are) ", "", text) for text in rows[1:]]
    return " and ".join([*rows[:1], *rest])


def _is_there(mention: Mention) -> bool:
    if mention.implied or mention.position == REMOVED:
        return False
    return mention.assertion == PRESENT or (
        mention.assertion == ABSENT and mention.change == RESOLVED
    )


def _phrase_places(analysis: Analysis) -> Collection[int]:
    """Return the places of the words that a noun phrase is made of."""
    tokens = analysis.scopes.tokens
    known = set(tags(tokens))
    for term in analysis.terms:
        if term.kind in ("structure", "quality", "finding", "support", "hardware"):
            known.update(range(term.start, term.end))
    for place, token in enumerate(tokens):
        if token.word in STATES or token.word in _POSITIONS or _SIZE.fullmatch(token.word):
            known.add(place)
    for sign in change.signs(tokens):
        known.difference_update(range(sign.start, sign.end))
    return known


def _named(draft: Draft, mention: Mention, known: Collection[int]) -> str:
    """Return "there is" and the noun phrase of a mention."""
    inside = [p for p, t in enumerate(draft.tokens) if mention.start <= t.start < mention.end]
    if not inside:
        return ""
    start, end = inside[0], inside[-1] + 1
    while start and (start - 1 in known or _is_change(draft.word(start - 1))):
        start -= 1
    while start < inside[0] and start not in known:
        start += 1
    if draft.word(end) in _OF_PLACE:
        after = skip(draft, end + 1, DETERMINERS)
        last = after
        while last in known:
            last += 1
        end = last if last > after else end
    first, last = draft.tokens[start].start, draft.tokens[end - 1].end
    alone = Draft(
        draft.text[first:last],
        tuple(
            t._replace(start=t.start - first, end=t.end - first) for t in draft.tokens[start:end]
        ),
        tuple(
            t._replace(start=t.start - start, end=t.end - start)
            for t in draft.found
            if start <= t.start and t.end <= end
        ),
    )
    for place in range(end - start):
        if start + place not in known and _is_change(alone.word(place)):
            alone.delete(place, place + 1)
    there_is(alone, 0, len(alone.tokens), mention.assertion == ABSENT)
    return alone.result()


def _is_change(word: str) -> bool:
    return change.is_change(word) or word in DEGREES or word in ("residual", "known", "persistent")
