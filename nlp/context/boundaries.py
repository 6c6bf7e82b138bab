"""Reach: a sentence's tokens and cues in, the places where the reach of a cue ends out.

A cue reaches to the end of its clause; this module knows where one ends: at a stop word, before a
phrase with a verb of its own, before words that are only said of what is there.
"""

from __future__ import annotations

import functools

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Hit

STOP_MARKS = frozenset(";:!?.|") | {"--"}
VERBS = lexicon.words("grammar", "verbs")
JOINERS = lexicon.words("grammar", "joiners")
_LIST_TAIL = lexicon.words("grammar", "list_tail")
_OBJECT_STARTS = lexicon.words("grammar", "object_starts")
_PRONOUNS = lexicon.words("grammar", "pronouns")
_SUBJECTS = lexicon.words("grammar", "subjects")
_PERSONS = lexicon.words("grammar", "persons")
_SUBORDINATORS = lexicon.words("grammar", "subordinators")


@functools.cache
def _affirming() -> frozenset[str]:
    return frozenset(t.word for w in lexicon.load("modifiers")["affirming"] for t in tokenize(w))


def reach_ends(
    text: str, tokens: tuple[Token, ...], cues: tuple[Hit, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the token places where forward reach ends: for lists, for denials, for hedges."""
    ends = {c.start for c in cues if "stop" in c.values or "present_after" in c.values}
    soft_ends, hedge_ends = set(), set()
    for place, token in enumerate(tokens):
        word = token.word
        if (
            word in STOP_MARKS
            or (word in "-–—" and _is_dash(text, token))
            or (word == "(" and any(t.word in VERBS for t in _bracket(tokens, place)))
        ):
            ends.add(place)
        elif (
            word in _PRONOUNS and place and tokens[place - 1].word not in ("that", "if", "whether")
        ):
            soft_ends.add(place)
        elif word in (",", "and", "with", "as"):
            if _opens_clause(tokens, place):
                ends.add(place)
            elif _affirms(tokens, place):
                soft_ends.add(place)
            elif word == "with" or (word == "," and not _is_list(tokens, place)):
                hedge_ends.add(place)
    soft_ends |= ends
    return tuple(sorted(ends)), tuple(sorted(soft_ends)), tuple(sorted(hedge_ends | soft_ends))


def _bracket(tokens: tuple[Token, ...], place: int) -> tuple[Token, ...]:
    """Return the tokens of the bracket that opens at `place`; an open one goes to the end."""
    close = next((i for i in range(place, len(tokens)) if tokens[i].word == ")"), len(tokens))
    return tokens[place + 1 : close]


def _is_dash(text: str, token: Token) -> bool:
    return (
        text[token.start - 1 : token.start].isspace() or text[token.end : token.end + 1].isspace()
    )


def _opens_clause(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a phrase with a verb of its own follows the comma or "and" at `place`.

    "..., the heart is enlarged" does; "... is seen" only closes a list.
    """
    segment = _segment(tokens, place)
    word = tokens[place].word
    if not segment or segment[0] in JOINERS or word in ("with", "as"):
        return False
    if word == "," and _is_list(tokens, place):
        return False
    if _starts_anew(tokens, place, segment):
        return True
    if segment[0].endswith("ed") and segment[1:2] and segment[1] in _OBJECT_STARTS:
        return True
    for at, part in enumerate(segment):
        if part in VERBS:
            return not any(w in _LIST_TAIL for w in segment[at + 1 : at + 3])
    return False


def _starts_anew(tokens: tuple[Token, ...], place: int, segment: list[str]) -> bool:
    """Whether a new subject stands after the joint ("..., he had", "..., obese female"), or the
    comma closes a clause the sentence opened with ("Because he had no insurance, ...")."""
    if tokens[place].word != ",":
        return False
    if segment[0] in _SUBJECTS or any(w in _PERSONS for w in segment):
        return True
    is_first = all(t.word != "," for t in tokens[:place])
    return is_first and tokens[0].word in _SUBORDINATORS


def _affirms(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a word follows that is only said of what is there ("and mild ...")."""
    segment = _segment(tokens, place)
    if not segment or tokens[place].word == "as":
        return False
    if tokens[place].word == "," and _is_list(tokens, place):
        return False
    return segment[0] in _affirming()


def _segment(tokens: tuple[Token, ...], place: int) -> list[str]:
    words = []
    for token in tokens[place + 1 :]:
        if token.word in (",", "and", ";", "but", "."):
            break
        words.append(token.word)
    if not words and place + 1 < len(tokens):
        return [tokens[place + 1].word]
    return words


def _is_list(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether the comma at `place` stands in a list that a later "or" closes."""
    for token in tokens[place + 1 :]:
        if token.word in ("or", "nor", "/"):
            return True
        if token.word in VERBS or token.word in STOP_MARKS or token.word in ("but", "no", "with"):
            return False
    return False
