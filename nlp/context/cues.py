"""Cues: a sentence's tokens in, the words that deny, hedge or only look like it out.

The table is cues.yaml, the longest wording wins. Some words say another thing in another place: an
answer ("Pneumothorax: No."), a sign before its item, a second verb, a remark on one view only.
"""

from __future__ import annotations

import functools

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Hit, Phrases

# what may follow a predicate that is said of the word before it ("excluded on", "pain free since")
AFTER_PREDICATE = STOP_MARKS | {",", "and", "since", "for", "at", "on", "after", "now", "today"}
_NOBODY = frozenset({"neither", "none", "nobody", "nothing"})
_SHOWING = frozenset({"show", "showed", "reveal", "revealed", "demonstrate", "demonstrated"})
_ANSWERS = {t.word for answer in ("no", "denies", "denied", "never") for t in tokenize(answer)}
_FORWARD_SIGN = {"absent_before": "absent_after"}
_OTHER_FILMS = lexicon.words("grammar", "other_films")


@functools.cache
def _phrases() -> Phrases:
    table = lexicon.load("cues")
    entries = [(phrase, category) for category, phrases in table.items() for phrase in phrases]
    return Phrases(entries, fillers=lexicon.load("modifiers")["fillers"])


def find(tokens: tuple[Token, ...]) -> tuple[Hit, ...]:
    """Return the cues in order; their values are the categories of cues.yaml."""
    found = [_settled(tokens, cue) for cue in _phrases().find(tokens)]
    return tuple(cue for cue in found if not _is_denied_showing(tokens, found, cue))


def _is_denied_showing(tokens: tuple[Token, ...], found: list[Hit], cue: Hit) -> bool:
    """Whether the showing has a denied subject: "neither the CT nor the MRI showed a bleed"."""
    if "stop" not in cue.values or tokens[cue.start].word not in _SHOWING:
        return False
    before = [c for c in found if c.end <= cue.start and tokens[c.start].word in _NOBODY]
    between = tokens[before[0].end : cue.start] if before else ()
    return bool(before) and not any(t.word in STOP_MARKS or t.word == "," for t in between)


def _settled(tokens: tuple[Token, ...], cue: Hit) -> Hit:
    """Return the cue as its neighbours make it reach."""
    if _is_answer(tokens, cue):
        return Hit(cue.start, cue.end, ("absent_before",))
    if tokens[cue.start].word == "(" and _opens_item(tokens, cue.start):  # "(-) cough, (+) fever"
        return Hit(cue.start, cue.end, tuple(_FORWARD_SIGN.get(v, v) for v in cue.values))
    if _is_partial(tokens, cue):
        return Hit(cue.start, cue.end, ("neutral",))
    if _is_active(tokens, cue):
        return Hit(cue.start, cue.end, ("absent_after",))
    if "absent_before" in cue.values and _is_of_one_view(tokens[cue.end : cue.end + 6]):
        return Hit(cue.start, cue.end, ("present_before",))
    return cue


def _is_answer(tokens: tuple[Token, ...], cue: Hit) -> bool:
    """Whether a lone word answers what stands before it: "Fever: no. Cough: denies."."""
    if not cue.start or cue.end - cue.start > 1 or tokens[cue.start].word not in _ANSWERS:
        return False
    following = tokens[cue.end : cue.end + 1]
    if not following or all(t.word in STOP_MARKS for t in tokens[cue.end :]):
        return True
    return tokens[cue.start - 1].word == ":" and following[0].word in STOP_MARKS | {","}


def _is_partial(tokens: tuple[Token, ...], cue: Hit) -> bool:
    """Whether "none" only denies a quality of what stands before it: "nodes, none enlarged"."""
    following = tokens[cue.end : cue.end + 1]
    is_bare = [t.word for t in tokens[cue.start : cue.end]] == ["none"]
    return is_bare and bool(following) and following[0].word not in AFTER_PREDICATE


def _is_active(tokens: tuple[Token, ...], cue: Hit) -> bool:
    """Whether a word that denies either side is a second verb: "confirmed X and excluded Y"."""
    if not {"absent_after", "absent_before"} <= set(cue.values) or not cue.start:
        return False
    following = tokens[cue.end : cue.end + 1]
    is_open = bool(following) and following[0].word not in AFTER_PREDICATE
    return is_open and tokens[cue.start - 1].word == "and"


def _opens_item(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether an item of a list begins at `place`."""
    return place == 0 or tokens[place - 1].word in (",", ";", ":", "and", "or")


def _is_of_one_view(following: tuple[Token, ...]) -> bool:
    """Whether "not seen" is only said of one view or of an older study: then it denies nothing."""
    words = [t.word for t in following]
    if not words or words[0] not in ("on", "in"):
        return False
    return any(w in _OTHER_FILMS for w in words) and not any(w in ("or", "and") for w in words)
