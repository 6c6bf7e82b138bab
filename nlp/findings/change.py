"""Finds what a sentence says of the change of a finding since an earlier image.

A word of change (lexicon/en/change.yaml) is said of what follows it ("unchanged effusion",
"increase in the effusion") or, as a predicate, of what stands before it ("the effusion is
unchanged"). The findings of a list share it. Denied, "increased" means stable; so it does whatever
the verdict on the finding is.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, Scopes, Verdict
from cxr_vlp.nlp.findings.mention import BETTER, CHANGES, NEW, RESOLVED, STABLE, WORSE
from cxr_vlp.nlp.findings.terms import Finding, Term
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match, Phrases

_REACH = 16  # tokens between a word of change and its finding
_HEADS = ("finding", "structure", "support", "hardware")
STILL_THERE, LEFT_OVER, CHANGED, NOTHING = "still_there", "left_over", "changed", "nothing"
_KINDS = (*CHANGES, STILL_THERE, LEFT_OVER, CHANGED, NOTHING)


class Change(NamedTuple):
    """One of mention.CHANGES, and the words that say so; "" and "" where nothing does."""

    kind: str
    words: str


class Sign(NamedTuple):
    """A word of change at tokens[start:end]; `start` is its denial where it is `denied`."""

    kind: str
    start: int
    end: int
    word: int  # where the word of change itself begins
    denied: bool
    predicate: bool  # said of what stands before it


UNSAID = Change("", "")


def _plain(group: str) -> frozenset[str]:
    """Return the words of a list of change.yaml in the form that tokens have."""
    return frozenset(
        token.word if (token := next(iter(tokenize(word)), None)) else word
        for word in lexicon.load("change")[group]
    )


_DENIERS, _BETWEEN, _WHOLLY = _plain("deniers"), _plain("between"), _plain("wholly")
_COPULAS, ADVERBS, _ADJECTIVES = _plain("copulas"), _plain("adverbs"), _plain("adjectives")
STOPS, FORWARD_STOPS, _JOINTS = _plain("stops"), _plain("forward_stops"), _plain("joints")
_PREPOSITIONS, TRAILING, _PLACES = _plain("prepositions"), _plain("trailing"), _plain("places")
COMPARED, COMPARATIVE = _plain("compared"), _plain("comparative")
RELATIVE, RELATIVE_WORDS = frozenset(lexicon.load("change")["relative"]), _plain("relative_words")
_FILLERS = frozenset(lexicon.load("modifiers")["fillers"])
_HEDGES = _plain("hedges")
_GONE = frozenset(("cleared", "clearing", "resolved", "resolution", "gone", "disappeared"))
_EARLIER = frozenset(("prior", "previous", "earlier", "previously"))  # "seen on the prior"
_STAYING = frozenset(("remain", "remained", "persist", "persisted", "continue"))
# may stand between a subject and its predicate: "effusion, which has increased"
_LEADING = frozenset((",", ":", "(", "-", "but", "and", "which", "that", "with"))


@functools.cache
def _phrases() -> Phrases:
    table = lexicon.load("change")
    return Phrases(((phrase, kind) for kind in _KINDS for phrase in table[kind]), fillers=_FILLERS)


def may_tell(words: Collection[str]) -> bool:
    """Whether a sentence of these words may tell of change: a cheap test."""
    return not _telling().isdisjoint(words) or (
        "change" in words and not _DENIERS.isdisjoint(words)  # not "degenerative changes"
    )


@functools.cache
def _telling() -> frozenset[str]:
    """Return words of which a sentence has at least one where it tells of change."""
    table, common = lexicon.load("change"), _plain("common")
    phrases = [phrase for kind in _KINDS if kind != NOTHING for phrase in table[kind]]
    split = [[t.word for t in tokenize(phrase.replace("~", ""))] for phrase in phrases]
    telling = [[w for w in words if w not in common] for words in split]
    first = {(rest or words)[0] for words, rest in zip(split, telling, strict=True)}
    return frozenset(first - {"change"})


def change_of(scopes: Scopes, found: tuple[Term, ...], term: Term, verdict: Verdict) -> Change:
    """Return the change that is said of the finding at `term`."""
    if not may_tell([token.word for token in scopes.tokens]):
        return UNSAID
    best, best_rank = UNSAID, (-1, False, False, 0)
    for sign in signs(scopes.tokens):
        if _covers(sign, found, term) or not _is_said_of(scopes.tokens, found, sign, term):
            continue
        kind = _kind(scopes.tokens, sign, term, verdict)
        rank = _rank(sign, kind, term)
        if kind and rank > best_rank:
            best, best_rank = Change(kind, scopes.words(sign.start, sign.end)), rank
    return best


def _rank(sign: Sign, kind: str, term: Term) -> tuple[int, bool, bool, int]:
    """Return how much a sign outweighs others of the same finding."""
    weak = sign.kind in (STILL_THERE, LEFT_OVER) and kind == STABLE
    distance = max(sign.word - term.end, term.start - sign.end)
    return 0 if weak else 1, sign.predicate, kind != STABLE, -distance


@functools.lru_cache(maxsize=4096)
def signs(tokens: tuple[Token, ...]) -> tuple[Sign, ...]:
    """Return the words of change among `tokens`, in order."""
    matches = [m for m in _phrases().find(tokens) if m.values[0] != NOTHING]
    words = [token.word for token in tokens]
    return tuple(_sign(words, m) for m in matches if not _compares_places(words, m))


def _sign(words: Sequence[str], match: Match) -> Sign:
    denier = _denier(words, match.start)
    kind = match.values[0]
    start = match.start if denier is None else denier
    predicate = _is_predicate(words, match)
    return Sign(kind, start, match.end, match.start, denier is not None, predicate)


def _denier(words: Sequence[str], place: int) -> int | None:
    """Return where the denial of the word of change at `place` begins."""
    has_clause = False  # "no evidence that the effusion has increased"
    for at in range(place - 1, max(-1, place - _REACH), -1):
        word = words[at]
        if word in _DENIERS:
            return at
        if word == "that":
            has_clause = True
            continue
        if word in _BETWEEN or word in _FILLERS or word in ADVERBS or is_change(word):
            continue
        if "neither" in words[:at]:
            return words.index("neither")
        if word in STOPS or word == "," or has_clause or "that" not in words[:at]:
            return None
    return None


@functools.cache
def _single() -> frozenset[str]:
    """Return the words that alone tell of change."""
    table = lexicon.load("change")
    groups = (*CHANGES, CHANGED)
    return frozenset(tokenize(p)[0].word for g in groups for p in table[g] if len(tokenize(p)) == 1)


def is_change(word: str) -> bool:
    """Return whether a word alone tells of change."""
    return word in _single()


def _compares_places(words: Sequence[str], match: Match) -> bool:
    """Whether the word compares two places of one image: "worse on the right", "right > left"."""
    if words[match.start] not in COMPARATIVE:
        return False
    after = words[match.end : match.end + 5]
    if match.start and words[match.start - 1] in _PLACES and after and after[0] in _PLACES:
        return True  # "left worse right"
    if "than" in after[:3]:
        return any(w in _PLACES for w in after[after.index("than") :])
    if any(w in COMPARED for w in words):
        return False
    return bool(after) and after[0] in ("on", "in", "at", "along", "within", "toward")


def _is_predicate(words: Sequence[str], match: Match) -> bool:
    """Whether the word is said of what stands before it: after a verb, at the end of a phrase."""
    following = words[match.end] if match.end < len(words) else "."
    place = match.start - 1
    while place >= 0 and (words[place] in ADVERBS or words[place] in _DENIERS):
        place -= 1
    first = words[match.start]
    if first in ("has", "have") or words[match.end - 1] in _EARLIER:
        return first != "previously"
    if first in _STAYING:
        return match.start == 0 or words[match.start - 1] != "there"
    if words[match.end - 1] in ("of", "to", "in") and following not in (".", ",", ";"):
        return words[match.end - 1] == "to"
    if following in ("in", "of") and not _is_size(words, match.end):
        return place >= 0 and words[place] in _COPULAS and not _is_attribute(words, match, place)
    if place >= 0 and words[place] in _COPULAS:
        return not _is_attribute(words, match, place)
    return following in TRAILING


def _is_size(words: Sequence[str], place: int) -> bool:
    return any(w in ("size", "extent", "appearance", "severity") for w in words[place : place + 3])


def _is_attribute(words: Sequence[str], match: Match, verb: int) -> bool:
    """Whether a verb before the word does not make a predicate of it: "there is stable edema"."""
    first = verb
    while first > 0 and (words[first - 1] in _COPULAS or words[first - 1] in ADVERBS):
        first -= 1
    following = words[match.end] if match.end < len(words) else "."
    if first > 0 and words[first - 1] == "there":
        return True
    if words[verb] in ("show", "demonstrate"):
        return following not in TRAILING
    return (
        words[verb] in ("has", "have", "had", "is", "are")
        and words[match.start] in _ADJECTIVES
        and following not in TRAILING
    ) or (first == 0 and following not in TRAILING)


def _covers(sign: Sign, found: tuple[Term, ...], term: Term) -> bool:
    """Whether the word of change is part of a finding's name ("decreased lung volume")."""
    return any(
        t.start < sign.end and t.end > sign.word and (t == term or t.kind == "finding")
        for t in found
    )


def _is_said_of(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    if sign.predicate and term.end <= sign.word:
        return sign.word - term.end <= _REACH and _reaches_back(tokens, found, sign, term)
    if sign.kind == STILL_THERE and _follows(tokens, sign, term):  # "is again mildly enlarged"
        return True
    if term.start >= sign.end and not (sign.predicate and _has_subject(tokens, found, sign)):
        return term.start - sign.end <= _REACH and _reaches_on(tokens, found, sign, term)
    return False


def _follows(tokens: Sequence[Token], sign: Sign, term: Term) -> bool:
    """Whether a term stands right after the word of change."""
    return sign.end <= term.start and all(
        token.word in ADVERBS for token in tokens[sign.end : term.start]
    )


def _has_subject(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign) -> bool:
    """Whether a finding, structure or device stands before the predicate in its clause."""
    following = tokens[sign.end].word if sign.end < len(tokens) else "."
    if following in ("is", "are") or (following == ":" and sign.word == sign.start == 0):
        return False  # "Again seen is a nodule", "Unchanged: nodule"
    floor = max((i for i in range(sign.word) if tokens[i].word in STOPS), default=-1)
    if any(t.kind in (*_HEADS, "quality") and floor < t.start < sign.word for t in found):
        return True
    return following in TRAILING


def _reaches_on(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    """Whether the word is said of a finding that follows it, perhaps with others in a list."""
    words = [token.word for token in tokens[sign.end : term.start]]
    if words and words[0] in ("is", "are", ":"):  # "Again seen is", "Unchanged: "
        words = words[1:]
    if any(w in STOPS or w in FORWARD_STOPS or w in _COPULAS for w in words):
        return False
    passed = [t for t in found if sign.end <= t.start and t.end <= term.start]
    first = next((t for t in passed if t.kind == "finding"), None)
    others = [t for t in passed if t.kind in ("structure", "support", "hardware")]
    for place in range(sign.end, term.start):
        if tokens[place].word not in _JOINTS:
            continue
        if first is not None and first.end <= place:
            if tokens[place].word == "," and not _closes_list(tokens, place):
                return False
            if tokens[place + 1].word in _HEDGES:  # "stable opacity, possibly atelectasis"
                return False
        elif any(t.end <= place for t in others) and not _is_pair(found, place):
            return False
    return first is None or not _has_other_sign(tokens, first.end, term.start)


def _is_pair(found: tuple[Term, ...], place: int) -> bool:
    """Whether a joint is between two places of one finding: "upper and lower lobe opacity"."""
    before = [t for t in found if t.end == place]
    after = [t for t in found if 0 < t.start - place <= 2]
    kinds = {e.name for t in (*before, *after) if t.kind == "structure" for e in t.entries}
    return bool(before) and bool(after) and kinds <= {"lungs", "hila", "interstitium"}


def _closes_list(tokens: Sequence[Token], place: int) -> bool:
    """Whether the comma at `place` is in a list that a later "and" closes before a verb."""
    for token in tokens[place + 1 : place + _REACH]:
        if token.word in ("and", "or"):
            return True
        if token.word in STOPS or token.word in _COPULAS or token.word in FORWARD_STOPS:
            return False
    return False


def _has_other_sign(tokens: Sequence[Token], start: int, end: int) -> bool:
    return any(start <= s.word < end for s in signs(tuple(tokens)))


def _reaches_back(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    """Whether the predicate is said of a finding before it, perhaps with others in a list."""
    end, has_verb = _subject_end(tokens, sign, term.end)
    words = [token.word for token in tokens[term.end : end]]
    verbs = sum(w in _COPULAS for w in words)
    if any(w in STOPS for w in words) or verbs > 1 or (has_verb and verbs):
        return False
    joints = [i for i in range(term.end, end) if tokens[i].word in _JOINTS]
    for other in found:
        if other.kind not in _HEADS or not term.end <= other.start or other.end > end:
            continue
        if _is_place(tokens, other.start, term.end):
            continue
        joint = [i for i in joints if i < other.start]
        if not joint or (verbs and other.kind != "finding"):
            return False
        if tokens[joint[-1]].word == "," and not any(tokens[i].word != "," for i in joints):
            return False
        if has_verb and _opens_with_verb(tokens, term.start, joint[-1]):
            return False
    return not (_is_other_subject(tokens, found, term) and has_verb)


def _opens_with_verb(tokens: Sequence[Token], start: int, end: int) -> bool:
    floor = max((i for i in range(start) if tokens[i].word in STOPS), default=-1)
    return any(tokens[i].word in ("is", "are", "was") for i in range(floor + 1, end))


def _is_other_subject(tokens: Sequence[Token], found: tuple[Term, ...], term: Term) -> bool:
    """Whether the finding only says where another is: "opacity in the region of the scar"."""
    if not _is_place(tokens, term.start, 0):
        return False
    floor = max((i for i in range(term.start) if tokens[i].word in {*STOPS, *_JOINTS}), default=-1)
    return any(
        t.kind in ("finding", "support") and floor < t.start and t.end <= term.start for t in found
    )


def _subject_end(tokens: Sequence[Token], sign: Sign, floor: int) -> tuple[int, bool]:
    """Return where the subject of a predicate ends, and whether the predicate has its own verb."""
    place, has_verb = min(sign.start, sign.word), False
    skipped = ADVERBS | _DENIERS | _BETWEEN | _LEADING
    while place > floor:
        word = tokens[place - 1].word
        if word in _COPULAS:
            has_verb = True
        elif word not in skipped and not is_change(word):
            break
        if word in ("which", "that"):
            return place - 1, False
        if word in (",", "but", "and") and has_verb:
            break
        place -= 1
    return place, has_verb


def _is_place(tokens: Sequence[Token], start: int, floor: int) -> bool:
    """Whether a preposition stands before the phrase that ends at `start`."""
    for place in range(start - 1, max(floor, start - 6) - 1, -1):
        word = tokens[place].word
        if word in _PREPOSITIONS:
            return True
        if word in _JOINTS or word in STOPS or word in _COPULAS:
            return False
    return False


def _kind(tokens: Sequence[Token], sign: Sign, term: Term, verdict: Verdict) -> str:
    """Return the change that a sign says of a finding, "" for none."""
    if sign.denied:
        return _denied_kind(tokens, sign, verdict)
    kind = sign.kind
    if kind in (LEFT_OVER, STILL_THERE):
        if verdict.assertion == ABSENT:
            said = {token.word for token in tokens[sign.word : sign.end]}
            is_before = sign.kind == LEFT_OVER or not said.isdisjoint(_EARLIER)
            return RESOLVED if is_before else ""
        return STABLE if kind == STILL_THERE else ""
    if kind == CHANGED or (kind in (WORSE, BETTER) and _is_relative(tokens, sign, term)):
        return ""
    if kind == NEW and tokens[sign.word].word == "not":  # "not seen previously"
        return NEW
    if verdict.assertion == ABSENT and kind != RESOLVED and not _is_partly_gone(tokens, sign):
        return ""
    return kind


def _is_partly_gone(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether the word tells of a part only: "almost completely cleared" denies nothing."""
    return sign.kind == BETTER and any(
        token.word in _GONE for token in tokens[sign.word : sign.end]
    )


def _denied_kind(tokens: Sequence[Token], sign: Sign, verdict: Verdict) -> str:
    words = {token.word for token in tokens[sign.start : sign.end]}
    kind = sign.kind
    if kind == RESOLVED:
        return BETTER if words & _WHOLLY else STABLE
    if kind == NEW:
        return STABLE if sign.predicate and verdict.assertion != ABSENT else ""
    if kind in (WORSE, BETTER, CHANGED):
        return "" if "new" in words else STABLE
    if kind in (STILL_THERE, LEFT_OVER) and verdict.assertion == ABSENT:
        return RESOLVED if tokens[sign.word].word not in ("again", "known") else ""
    return ""


def _is_relative(tokens: Sequence[Token], sign: Sign, term: Term) -> bool:
    """Whether "increased" only names the finding: "increased density at the base"."""
    if tokens[sign.word].word not in RELATIVE_WORDS:
        return False
    names = [e.name for e in term.entries if isinstance(e, Finding)]
    if term.kind == "finding" and not any(name in RELATIVE for name in names):
        return False
    before = tokens[sign.word - 1].word if sign.word else ""
    if sign.predicate and any(
        t.word in ("has", "have") for t in tokens[max(0, sign.word - 4) : sign.word]
    ):
        return False
    return before != "interval" and not any(t.word in COMPARED for t in tokens)
