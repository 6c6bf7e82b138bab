"""Finds the cues of a sentence: the words that deny or hedge a finding, or only seem to.

The table is lexicon/en/cues.yaml; the longest phrase wins ("no change in" over "no"). Some cues
mean something else beside certain words, and are changed here: an answer ("Pneumothorax: No."), a
sign before its item ("(-) cough"), a second verb ("and excluded"), a remark on one view only.
`exclusion`, `direction` and `presupposed` change others.
"""

from __future__ import annotations

import functools
from collections.abc import Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import direction, exclusion, landmarks, likeness, presupposed
from cxr_vlp.nlp.context.boundaries import STOP_MARKS
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match, Phrases

# what may follow a predicate that is said of the word before it ("excluded on", "pain free since")
AFTER_PREDICATE = STOP_MARKS | {","} | lexicon.words("grammar", "after_predicate")
_NOBODY = lexicon.words("grammar", "nobody")
_SHOWING = lexicon.words("grammar", "denied_showing")
_ANSWERS = {t.word for answer in lexicon.words("grammar", "answers") for t in tokenize(answer)}
_DASHES = ("-", "–", "—")
_LIST_TITLES = lexicon.words("grammar", "list_titles")
_SENTENCE_ENDS = frozenset(".;|")
_OPENS_LIST = {
    "absent_after": "absent_list",
    "absent_before": "absent_list",
    "absent_list": "absent_list",
    "uncertain_after": "uncertain_after",
    "uncertain_before": "uncertain_after",
}
_FORWARD_SIGN = {"absent_before": "absent_after"}
_OTHER_VIEWS = lexicon.words("grammar", "other_views")
_VIEW_PREPOSITIONS = lexicon.words("grammar", "view_prepositions")
_OTHER_TIMES = lexicon.words("grammar", "other_times")
_OUTLASTING = lexicon.words("grammar", "outlasting")
_DEGREES = lexicon.words("grammar", "degrees")
_RELATIONS = lexicon.words("grammar", "relations")
_DOUBTS = lexicon.words("grammar", "doubts")
_CLAIM_REACH = 2  # tokens: "no sign that there is"
_THERE_IS = frozenset({"that", "there", "is", "are", "was", "were"})


@functools.cache
def _phrases() -> Phrases:
    table = lexicon.load("cues")
    entries = [(phrase, category) for category, phrases in table.items() for phrase in phrases]
    return Phrases(entries, fillers=lexicon.load("modifiers")["fillers"])


def find(text: str, tokens: tuple[Token, ...], words: Set[str]) -> tuple[Match, ...]:
    """Return the cues in order; their values are the categories of cues.yaml.

    `words` are those of the tokens.
    """
    found = [_adjusted(text, tokens, cue) for cue in _phrases().find(tokens)]
    if not _SHOWING.isdisjoint(words):
        found = [cue for cue in found if not _is_denied_showing(tokens, found, cue)]
    found = exclusion.left_open(text, tokens, [_before_list(tokens, cue) for cue in found])
    found = exclusion.doubted(tokens, _paired(tokens, found), words)
    found = presupposed.adjusted(tokens, found, words)
    found = merged(found, likeness.find(tokens, words))
    return tuple(_with_landmarks(tokens, found, words))


def merged(found: list[Match], new: list[Match]) -> list[Match]:
    """Return the cues in order, the new ones instead of those that they overlap."""
    if not new:
        return found
    old = [c for c in found if not any(n.start < c.end and c.start < n.end for n in new)]
    return sorted((*old, *new))


def _with_landmarks(tokens: tuple[Token, ...], found: list[Match], words: Set[str]) -> list[Match]:
    """Return the cues with the ends of their reach before landmarks; a cue wins over an end."""
    ends = landmarks.find(tokens, found, words)
    free = [e for e in ends if not any(c.start < e.end and e.start < c.end for c in found)]
    return sorted((*found, *free)) if free else found


def _paired(tokens: tuple[Token, ...], found: list[Match]) -> list[Match]:
    """Return the cues, those joined that say one thing together.

    A hedge right before a cause hedges the cause: "may be secondary to". Who doubts that there is
    none hedges: "cannot be certain there is no effusion".
    """
    kept: list[Match] = []
    for cue in found:
        before = kept[-1] if kept else None
        if before and _is_claim(tokens, before, cue):
            continue
        if before and "uncertain_after" in before.values:
            between = tokens[before.end : cue.start]
            if _is_cause(tokens, cue) and all(t.word in _DEGREES for t in between):
                continue
            is_doubt = not _DOUBTS.isdisjoint(t.word for t in tokens[before.start : before.end])
            if is_doubt and all(t.word in _THERE_IS for t in between):
                if "stop" in cue.values and tokens[cue.start].word == "there":
                    continue
                if "absent_after" in cue.values:
                    kept[-1] = Match(before.start, cue.end, before.values)
                    continue
        kept.append(cue)
    return kept


def _is_claim(tokens: tuple[Token, ...], before: Match, cue: Match) -> bool:
    """Whether "that there is" only says what the cue before it denies or hedges."""
    is_near = cue.start - before.end <= _CLAIM_REACH and tokens[cue.start].word == "there"
    return is_near and tokens[cue.start - 1].word == "that" and before.values != ("stop",)


def _is_cause(tokens: tuple[Token, ...], cue: Match) -> bool:
    return "stop" in cue.values and tokens[cue.start].word in _RELATIONS


def _is_denied_showing(tokens: tuple[Token, ...], found: list[Match], cue: Match) -> bool:
    """Whether the subject of a verb of showing is denied: "neither CT nor MRI showed a bleed"."""
    if "stop" not in cue.values or tokens[cue.start].word not in _SHOWING:
        return False
    before = [c for c in found if c.end <= cue.start and tokens[c.start].word in _NOBODY]
    between = tokens[before[0].end : cue.start] if before else ()
    return bool(before) and not any(t.word in STOP_MARKS or t.word == "," for t in between)


def _adjusted(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return the cue with the categories that it has beside its neighbours."""
    if cue.end - cue.start == 1 and tokens[cue.start].word == "know":  # "Know acute fracture."
        return Match(cue.start, cue.end, ("neutral",) if cue.start else ("absent_after",))
    if _is_answer(tokens, cue):
        return Match(cue.start, cue.end, ("absent_before",))
    if tokens[cue.start].word == "(" and _opens_item(tokens, cue.start):  # "(-) cough, (+) fever"
        return Match(cue.start, cue.end, tuple(_FORWARD_SIGN.get(v, v) for v in cue.values))
    if _is_partial(tokens, cue):
        return Match(cue.start, cue.end, ("neutral",))
    if _is_active(tokens, cue):
        return Match(cue.start, cue.end, ("absent_after",))
    is_unreal = tokens[cue.end - 1].word in _OUTLASTING
    if (
        "absent_before" in cue.values
        and not is_unreal
        and _is_of_one_view(tokens[cue.end : cue.end + 6])
    ):
        return Match(cue.start, cue.end, ("present_before",))
    return _with(tokens, direction.adjusted(text, tokens, exclusion.adjusted(text, tokens, cue)))


def _with(tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return a hedge right before "with" together with it: "possibly with effusions"."""
    if cue.values == ("uncertain_after",) and cue.end < len(tokens):
        end = cue.end + (tokens[cue.end].word == "with")
        return Match(cue.start, end, cue.values)
    return cue


def _before_list(tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return a cue that opens a list with the colon after it: "Absent: effusion, edema."."""
    mark = tokens[cue.end].word if cue.end + 1 < len(tokens) else ""
    if mark == ":" or (mark in _DASHES and not cue.start):
        value = next((_OPENS_LIST[v] for v in cue.values if v in _OPENS_LIST), "")
        before = tokens[cue.start - 1].word if cue.start else "."
        if value and (before in _SENTENCE_ENDS or (cue.start == 1 and before in _LIST_TITLES)):
            return Match(cue.start, cue.end + 1, (value,))
    return cue


def _is_answer(tokens: tuple[Token, ...], cue: Match) -> bool:
    """Whether one word answers what is before it: "Fever: no. Cough: denies."."""
    if not cue.start or cue.end - cue.start > 1 or tokens[cue.start].word not in _ANSWERS:
        return False
    following = tokens[cue.end : cue.end + 1]
    if not following or all(t.word in STOP_MARKS for t in tokens[cue.end :]):
        return True
    return tokens[cue.start - 1].word == ":" and following[0].word in STOP_MARKS | {","}


def _is_partial(tokens: tuple[Token, ...], cue: Match) -> bool:
    """Whether "none" denies only a quality of what is before it: "nodes, none enlarged"."""
    following = tokens[cue.end : cue.end + 1]
    is_bare = [t.word for t in tokens[cue.start : cue.end]] == ["none"]
    return is_bare and bool(following) and following[0].word not in AFTER_PREDICATE


def _is_active(tokens: tuple[Token, ...], cue: Match) -> bool:
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
    """Whether "not seen" is said of one view or of an older study only: then it denies nothing."""
    words = [t.word for t in following]
    if words and words[0] in _OTHER_TIMES:
        return True
    if not words or words[0] not in _VIEW_PREPOSITIONS:
        return False
    return any(w in _OTHER_VIEWS for w in words) and not any(w in ("or", "and") for w in words)
