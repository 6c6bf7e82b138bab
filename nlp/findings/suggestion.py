"""Finds which finding a sentence says to point to which: "opacity suspicious for pneumonia".

The words are in lexicon/en/suggestions.yaml. A sign and what it points to are in one clause, with
only small words and words of place between them and the phrase. A link says nothing of how certain
either finding is.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS
from cxr_vlp.nlp.context.certainty import POSSIBLE
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Scopes
from cxr_vlp.nlp.findings.mention import UNNAMED, Mention
from cxr_vlp.nlp.findings.phrases import tags
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match, Phrases

_BETWEEN = lexicon.words("suggestions", "between")
_BEFORE_TARGET = lexicon.words("suggestions", "before_target")
_REACH = 20  # tokens between a sign and the phrase
_TARGET_REACH = 6  # tokens between the phrase, or a joined finding, and the next
_JOINING = frozenset({"or", "and", "and/or", "versus", "vs", "/", ",", "(", "?"})
_OR = frozenset({"or", "versus", "vs", "/", "and/or"})
_MARKS = frozenset({",", ":", ";", "-", "--", "–", "—", "("})
_IN_CHOICE = _BEFORE_TARGET - {",", "and", "(", ")"}
_CHOICE_REACH = 5  # tokens between the two findings of a choice
_KINDS = tuple(lexicon.words("suggestions", k) for k in ("lesions", "scars", "airway_diseases"))
_SIGNS = lexicon.words("suggestions", "signs")

Span = tuple[int, int]  # the tokens of a finding: first, after the last


@functools.cache
def _phrases() -> Phrases:
    rows = ((phrase, "points_to") for phrase in lexicon.load("suggestions")["points_to"])
    return Phrases(rows, lexicon.load("modifiers")["fillers"])


def linked(scopes: Scopes, said: list[Mention]) -> list[Mention]:
    """Return the mentions of a sentence, each with the findings that it is said to suggest."""
    if len(said) < 2:
        return said
    words = scopes.vocabulary
    if not (_phrases().may_be_in(words) or not _OR.isdisjoint(words)):
        return said
    spans = _spans(scopes, said)
    if len(spans) < 2:
        return said
    links: dict[Span, list[Span]] = {}
    sign_of: dict[Span, Span] = {}
    for phrase in _phrases().find(scopes.tokens):
        sign = _sign(scopes, spans, phrase)
        if sign is None:
            continue
        sign = sign_of.get(sign, sign)  # "opacity, likely atelectasis, possibly pneumonia"
        for target in _targets(scopes, spans, phrase):
            if target != sign:
                links.setdefault(sign, []).append(target)
                sign_of[target] = sign
    if not links and not _OR.isdisjoint(words):
        links = _alternatives(scopes, spans)
    return _with_links(said, spans, links) if links else said


def either(scopes: Scopes, said: list[Mention]) -> tuple[list[Mention], bool]:
    """Return the mentions, those joined by "or" as uncertain, and whether there are any.

    "Consolidation or collapse at the right base" leaves open which it is. What a cue denies or
    hedges is left to the cue ("no consolidation or collapse").
    """
    if "or" not in scopes.vocabulary or len(said) < 2:
        return said, False
    named = [m for m in said if not m.device and not m.implied]
    pairs = itertools.pairwise(named)
    chosen = {m for pair in pairs if _is_choice(scopes, *pair) for m in pair}
    found = [
        dataclasses.replace(m, assertion=UNCERTAIN, certainty=POSSIBLE, trigger="or")
        if m in chosen
        else m
        for m in said
    ]
    return found, bool(chosen)


def _is_choice(scopes: Scopes, first: Mention, second: Mention) -> bool:
    """Whether only "or" and small words are between two findings that are there."""
    if not first.assertion == second.assertion == PRESENT or _is_alike(first, second):
        return False
    starts = [token.start for token in scopes.tokens]
    begin, end = bisect.bisect_left(starts, first.end), bisect.bisect_left(starts, second.start)
    words = [token.word for token in scopes.tokens[begin:end]]
    if words.count("or") != 1 or len(words) > _CHOICE_REACH:
        return False
    if any("present_after" in cue.values and cue.end <= begin for cue in scopes.cues):
        return False  # "no progression of the effusion or atelectasis": both are there
    known = tags(scopes.tokens)
    return all(word in _IN_CHOICE or begin + i in known for i, word in enumerate(words))


def _is_alike(first: Mention, second: Mention) -> bool:
    """Whether two findings are one thing by two names: "nodules or masses"."""
    is_kind = any({first.finding, second.finding} <= kind for kind in _KINDS)
    return is_kind or first.finding == second.finding or first.label == second.label != ""


def _alternatives(scopes: Scopes, spans: dict[Span, list[Mention]]) -> dict[Span, list[Span]]:
    """Return the links of a sign to the alternatives after it: "opacity, atelectasis vs edema"."""
    found = list(spans)
    for sign, first, second in zip(found, found[1:], found[2:], strict=False):
        between = [t.word for t in scopes.tokens[first[1] : second[0]]]
        before = scopes.tokens[sign[1] : first[0]]
        is_sign = any(m.finding in _SIGNS and m.assertion != ABSENT for m in spans[sign])
        if is_sign and not _OR.isdisjoint(between) and _sets_off(scopes, before, sign[1]):
            return {sign: [first, second]}
    return {}


def _sets_off(scopes: Scopes, words: Sequence[Token], start: int) -> bool:
    """Whether a mark, and words of place beside it, are all that is between two findings."""
    known = tags(scopes.tokens)
    is_marked = any(t.word in _MARKS for t in words)
    return is_marked and all(
        t.word in _MARKS or t.word in _BEFORE_TARGET or start + i in known
        for i, t in enumerate(words)
    )


def _spans(scopes: Scopes, said: Sequence[Mention]) -> dict[Span, list[Mention]]:
    """Return the named findings by the tokens they are at, in order."""
    starts = [token.start for token in scopes.tokens]
    spans: dict[Span, list[Mention]] = {}
    for mention in said:
        if not mention.device and not mention.implied:
            first = bisect.bisect_left(starts, mention.start)
            spans.setdefault((first, bisect.bisect_left(starts, mention.end)), []).append(mention)
    return dict(sorted(spans.items()))


def _sign(scopes: Scopes, spans: dict[Span, list[Mention]], phrase: Match) -> Span | None:
    """Return the finding that the phrase is said of: the last before it, in its clause."""
    before = [span for span in spans if span[1] <= phrase.start]
    if not before or phrase.start - before[-1][1] > _REACH:
        return None
    if all(m.assertion == ABSENT for m in spans[before[-1]]):
        return None
    known = tags(scopes.tokens)
    for place in range(before[-1][1], phrase.start):
        word = scopes.tokens[place].word
        if word not in _BETWEEN and place not in known and not word[0].isdigit():
            return None
    if _opens_clause(scopes, before[-1][1], phrase):
        return None
    return _observation(scopes, spans, before)


def _observation(scopes: Scopes, spans: dict[Span, list[Mention]], before: Sequence[Span]) -> Span:
    """Return the last finding, or the observation that it is joined to.

    "Opacity and small effusion suspicious for pneumonia": the opacity is the sign.
    """
    last = before[-1]
    if len(before) < 2 or any(m.finding in _SIGNS for m in spans[last]):
        return last
    words = {t.word for t in scopes.tokens[before[-2][1] : last[0]]}
    is_joined = not words.isdisjoint({"and", "with"}) and words.isdisjoint(STOP_MARKS | {","})
    is_sign = any(m.finding in _SIGNS and m.assertion != ABSENT for m in spans[before[-2]])
    return before[-2] if is_joined and is_sign else last


def _opens_clause(scopes: Scopes, start: int, phrase: Match) -> bool:
    """Whether the phrase is of another clause: "effusion, and there is likely atelectasis"."""
    words = [t.word for t in scopes.tokens[start : phrase.start]]
    if "there" in words:
        return True
    joint = next((i for i in range(len(words) - 1, -1, -1) if words[i] in ("and", "with")), -1)
    # "opacity and possible effusion", "opacity with possible effusion"
    return joint >= 0 and not any(w in ("which", "this", "these", "finding") for w in words[joint:])


def _targets(scopes: Scopes, spans: dict[Span, list[Mention]], phrase: Match) -> list[Span]:
    """Return the findings after the phrase that it introduces: the first and those joined to it."""
    targets: list[Span] = []
    end = phrase.end
    known = tags(scopes.tokens)
    for span, here in spans.items():
        if span[0] < end:
            continue
        between = scopes.tokens[end : span[0]]
        words = [t.word for t in between]
        if targets and (not _JOINING.intersection(words) or _is_affirmed(scopes, end, span[0])):
            break
        if len(words) > _TARGET_REACH + 6 * bool(targets) or any(
            w not in _BEFORE_TARGET and end + i not in known for i, w in enumerate(words)
        ):
            break
        if any(m.assertion != ABSENT and m.finding != UNNAMED for m in here):
            targets.append(span)
        end = span[1]
    return targets


def _is_affirmed(scopes: Scopes, start: int, end: int) -> bool:
    """Whether a clause ends in between: "consistent with edema and small effusion"."""
    ends = scopes.ends.negations
    at = bisect.bisect_left(ends, start)
    return at < len(ends) and ends[at] < end


def _with_links(
    said: Sequence[Mention], spans: dict[Span, list[Mention]], links: dict[Span, list[Span]]
) -> list[Mention]:
    names = {
        id(sign): tuple(
            dict.fromkeys(
                m.finding
                for target in links[span]
                for m in spans[target]
                if m.finding not in (sign.finding, UNNAMED) and m.assertion != ABSENT
            )
        )
        for span in links
        for sign in spans[span]
    }
    return [dataclasses.replace(m, suggests=names[id(m)]) if names.get(id(m)) else m for m in said]
