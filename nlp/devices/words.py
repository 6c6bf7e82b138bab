"""Finds the words that say of a device that it lies well or not, should be moved, or is gone.

The phrases are in lexicon/en/device_words.yaml. A phrase may mean different things beside others
("has been withdrawn", "withdrawn slightly", "should be withdrawn"); `meaning` decides.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS, VERBS
from cxr_vlp.nlp.findings.terms import without_articles
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Phrases

_KINDS = ("good_alone", "low_alone", "wrong", "outside", "looped", "broken", "removed", "replaced",
          "swapping", "instead",
          "moved", "taken", "bare", "moving", "restored")  # fmt: skip
_HEIGHTS = ("high", "low")  # two right places of an umbilical artery catheter
_ARTICLES = lexicon.words("grammar", "articles")
_COPULAS = ("", "is", "are", "appear", "appears to be", "remain", "remains in")
_BARE_GONE = ("out", "gone", "absent", "off")  # they say it only as a predicate
GOOD, WRONG, ADVICE, REMOVED = "good", "wrong", "advice", "removed"
MOVES = ("moved", "taken", "bare", "moving")
BROKEN, LOOPED = "broken", "looped"
REPLACED = "replaced"  # of the device before it alone
NOTHING = ""


class Word(NamedTuple):
    """A phrase of device_words.yaml at tokens[start:end]: its list there, or good or bad."""

    kind: str
    start: int
    end: int


@functools.cache
def group(name: str) -> frozenset[str]:
    """Return one list of device_words.yaml in the plain form of tokens, phrases with blanks."""
    return frozenset(
        " ".join(t.word for t in tokenize(phrase)) for phrase in lexicon.load("device_words")[name]
    )


@functools.cache
def _phrases() -> Phrases:
    table = lexicon.load("device_words")
    entries = [(phrase, kind) for kind in _KINDS for phrase in table[kind]]
    for kind, adverbs in (("good", "well"), ("bad", "ill")):
        entries += [(f"{w} {noun}", kind) for w in table[kind] for noun in table["nouns"]]
        entries += [
            (f"{noun} {verb} {w}", kind)
            for w in table[kind] for noun in table["nouns"] for verb in _COPULAS
        ]  # fmt: skip
        entries += [(f"{w} {done}", kind) for w in table[adverbs] for done in table["placed"]]
    entries += [(f"{w} {height} position", "good") for w in table["good"] for height in _HEIGHTS]
    return Phrases((without_articles(phrase), kind) for phrase, kind in entries)


def find(tokens: tuple[Token, ...]) -> tuple[Word, ...]:
    """Return the words on devices in a sentence, in order."""
    kept = [i for i, token in enumerate(tokens) if token.word not in _ARTICLES]
    found = _phrases().find([tokens[i] for i in kept])
    return tuple(Word(m.values[0], kept[m.start], kept[m.end - 1] + 1) for m in found)


def meaning(tokens: tuple[Token, ...], word: Word, region: range, name_end: int = -1) -> str:
    """Return what `word` says of the device that the words of `region` are said of.

    `name_end` is where the name of the device ends.
    """
    if _is_former(tokens, word):
        return NOTHING
    is_denied = _is_denied(tokens, word, region)
    kind = word.kind
    if kind in MOVES:
        return _of_move(tokens, word, region, is_denied)
    if kind in ("removed", "replaced"):
        return _of_removal(tokens, word, region, is_denied, name_end)
    if kind in ("swapping", "instead"):
        return NOTHING
    if kind in ("good_alone", "low_alone") and not _stands_alone(tokens, word, name_end):
        return NOTHING
    if kind in ("good", "good_alone"):
        return WRONG if is_denied else GOOD
    if is_denied or kind == "restored":
        return NOTHING
    return {"broken": BROKEN, "looped": LOOPED}.get(kind, WRONG)


def _of_move(tokens: tuple[Token, ...], word: Word, region: range, is_denied: bool) -> str:
    """Decide a word for moving a device: advice, taken out, or only what was done."""
    if is_denied:
        return NOTHING
    if word.kind == "bare":
        return ADVICE
    if is_urged(tokens, word, region, both=word.kind == "moving"):
        return ADVICE
    if word.kind == "taken" and not _has(tokens, range(word.end, word.end + 4), "partly"):
        before = range(word.start - 2, word.start)
        return NOTHING if _has(tokens, before, "partly") else REMOVED
    return NOTHING


def _of_removal(
    tokens: tuple[Token, ...], word: Word, region: range, is_denied: bool, name_end: int
) -> str:
    """Decide a word for removing a device: done, or only possible, or done to another."""
    own = tokens[word.start : word.end]
    if word.kind == "replaced":
        return NOTHING if is_denied or is_urged(tokens, word, region, both=False) else REPLACED
    if is_denied or (own[0].word in _BARE_GONE and not _stands_alone(tokens, word, name_end)):
        return NOTHING
    if is_urged(tokens, word, region, both=own[-1].word in ("removal", "removing", "extubation")):
        return NOTHING
    if _is_partial(tokens, word):
        return NOTHING
    return NOTHING if _is_restored(tokens, word.end) else REMOVED


def _is_restored(tokens: tuple[Token, ...], start: int) -> bool:
    """Whether the device is there again ("removed and replaced", but not "replaced by ...")."""
    for place in range(start, min(len(tokens), start + 4)):
        if tokens[place].word in group("restored"):
            return [t.word for t in tokens[place + 1 : place + 2]] not in (
                ["by"],
                ["with"],
                ["for"],
            )
    return False


def _has(tokens: tuple[Token, ...], places: range, name: str) -> bool:
    inside = tokens[max(0, places.start) : max(0, places.stop)]
    return any(t.word in group(name) for t in inside)


def _is_denied(tokens: tuple[Token, ...], word: Word, region: range) -> bool:
    """Whether one of the few words before it, of the same device, denies it."""
    for place in range(word.start - 1, max(region.start, word.start - 6) - 1, -1):
        if tokens[place].word in STOP_MARKS or tokens[place].word == ",":
            return False
        if tokens[place].word == "external" and tokens[place + 1].word != "to":
            continue  # part of a name: "external leads"
        if tokens[place].word in group("deny"):
            return True
    return False


def _is_former(tokens: tuple[Token, ...], word: Word) -> bool:
    return _has(tokens, range(word.start - 2, word.start), "former")


def is_urged(tokens: tuple[Token, ...], word: Word, region: range, *, both: bool) -> bool:
    """Whether a word before it (or after it, with `both`) makes an advice of it."""
    reach = 8 if both else 5
    for place in range(word.start - 1, max(region.start, word.start - reach) - 1, -1):
        if tokens[place].word in STOP_MARKS or tokens[place].word == ",":
            break
        if tokens[place].word in group("urge"):
            return both or not _has(tokens, range(place, word.start), "past")
    return both and _has(tokens, range(word.end, _clause_end(tokens, word.end)), "urge")


def _clause_end(tokens: tuple[Token, ...], start: int) -> int:
    """Return where the next few words after `start` reach a joint."""
    for place in range(start, min(len(tokens), start + 10)):
        if tokens[place].word in STOP_MARKS or tokens[place].word in (",", "and"):
            return place
    return min(len(tokens), start + 10)


def _is_partial(tokens: tuple[Token, ...], word: Word) -> bool:
    """Whether only some of several devices are gone ("one of two chest tubes was removed")."""
    words = " ".join(t.word for t in tokens[max(0, word.start - 10) : word.end + 4])
    return any(f" {phrase} " in f" {words} " for phrase in group("some"))


def _stands_alone(tokens: tuple[Token, ...], word: Word, name_end: int = -1) -> bool:
    """Whether an adjective is the predicate: a verb or "too" before it, no noun after it."""
    if word.end - word.start > 1:  # "as expected" is no adjective before a noun
        return True
    following = tokens[word.end : word.end + 1]
    if following and following[0].word.isalpha() and following[0].word not in group("after_alone"):
        return word.kind == "good_alone" and following[0].word == "in" and word.start == name_end
    heads = bool(following) and following[0].word in (":", "since")  # "gone: right sheath"
    if heads and (not word.start or tokens[word.start - 1].word in STOP_MARKS):
        return True
    if not word.start:
        return False
    if word.start == name_end:
        return True
    before = tokens[word.start - 1].word
    return before in VERBS or before in group("before_alone") or before in group("slight")


def spans(words: Iterable[Word]) -> set[int]:
    """Return the token places that `words` cover."""
    return {place for word in words for place in range(word.start, word.end)}
