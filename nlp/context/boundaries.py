"""Decides where the scope of a cue ends: where a negation, a hedge or a denied list stops.

A cue ("no", "possible", "denies") applies to the words that follow it, up to the end of its clause.
`scope_ends` returns the places where a clause ends for each of three kinds of cue:

    lists      a denied list ("denies fever, cough, chest pain") ends only at a stop word, a mark
               such as ";", or a new clause with a verb of its own
    negations  any other negation ("no effusion, mild edema") ends there too, and before a word that
               is only said of what is present ("mild", "stable"), and before a pronoun
    hedges     a hedge ("possible pneumonia, edema") ends there too, and at "with" or at a comma
               that is not inside a list

The word lists are in lexicon/en/grammar.yaml, the stop words in lexicon/en/cues.yaml (`stop`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match

STOP_MARKS = frozenset(";:!?.|") | {"--"}
_OTHER_MARKS = frozenset("-–—(")
VERBS = lexicon.words("grammar", "verbs")
JOINERS = lexicon.words("grammar", "joiners")
_LIST_TAIL = lexicon.words("grammar", "list_tail")
_OBJECT_STARTS = lexicon.words("grammar", "object_starts")
_PRONOUNS = lexicon.words("grammar", "pronouns")
_JOINTS = frozenset({",", "and", "with", "as"})
_EDGES = STOP_MARKS | _OTHER_MARKS | _PRONOUNS | _JOINTS
_CLAUSE_OPENERS = lexicon.words("grammar", "clause_openers")
_SUBJECTS = lexicon.words("grammar", "subjects")
_PERSONS = lexicon.words("grammar", "persons")
_HEADS = lexicon.words("grammar", "finding_heads")
_CLAIM_ENDS = _HEADS | _LIST_TAIL
_PLACES = lexicon.words("grammar", "place_words")
_PREPOSITIONS = lexicon.words("grammar", "place_prepositions")
_SUBORDINATORS = lexicon.words("grammar", "subordinators")
_SUBJECT_NOUNS = lexicon.words("grammar", "claim_subjects")
_SUBJECT_OPENERS = lexicon.words("grammar", "claim_openers")
_PREDICATES = lexicon.words("grammar", "claim_predicates")
_LASTING = lexicon.words("grammar", "lasting")
_AFTER_LASTING = lexicon.words("grammar", "after_lasting")
_AGAIN = lexicon.words("grammar", "seen_again")
_SIGNS = lexicon.words("grammar", "missing_signs")
_DEGREES = lexicon.words("grammar", "claim_degrees")
_INDICATING = lexicon.words("grammar", "indicating")


class ScopeEnds(NamedTuple):
    """The token places, sorted, where the scope of each kind of cue ends."""

    lists: tuple[int, ...]
    negations: tuple[int, ...]
    hedges: tuple[int, ...]


@functools.cache
def _affirming() -> frozenset[str]:
    return frozenset(t.word for w in lexicon.load("modifiers")["affirming"] for t in tokenize(w))


def scope_ends(text: str, tokens: tuple[Token, ...], cues: tuple[Match, ...]) -> ScopeEnds:
    """Return where the scope of a list, a negation and a hedge ends in a sentence."""
    lists = {c.start for c in cues if "stop" in c.values or "present_after" in c.values}
    negations, hedges = set(), set()
    for place, token in enumerate(tokens):
        word = token.word
        if word not in _EDGES and (not place or tokens[place - 1].word not in _CLAIM_ENDS):
            continue  # most words
        if word in STOP_MARKS or (word in _OTHER_MARKS and _ends_clause(text, tokens, place)):
            lists.add(place)
        elif word in _PRONOUNS and place and tokens[place - 1].word not in _CLAUSE_OPENERS:
            negations.add(place)
        elif word in _JOINTS:
            if (
                _opens_clause(tokens, place)
                or states(tokens, place + 1)
                or (word == "," and _goes_with(tokens, place))
            ):
                lists.add(place)
            elif _affirms(tokens, place) or _places(tokens, place):
                negations.add(place)
            elif word == "with" or (word == "," and not _is_list(tokens, place)):
                hedges.add(place)
        elif place and tokens[place - 1].word in _CLAIM_ENDS and _claims(tokens, place):
            negations.add(place - 1)
    lists.update(_indications(tokens, cues))
    negations |= lists
    hedges |= negations
    return ScopeEnds(tuple(sorted(lists)), tuple(sorted(negations)), tuple(sorted(hedges)))


def _ends_clause(text: str, tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a mark at `place` ends every scope: a dash, or a bracket with a verb in it."""
    if tokens[place].word == "(":
        return any(t.word in VERBS for t in _bracket(tokens, place))
    return _is_dash(text, tokens[place]) and not _hangs(text, tokens, place)


def _bracket(tokens: tuple[Token, ...], place: int) -> tuple[Token, ...]:
    """Return the tokens of the bracket that opens at `place`; an open one ends with the text."""
    close = next((i for i in range(place, len(tokens)) if tokens[i].word == ")"), len(tokens))
    return tokens[place + 1 : close]


def _is_dash(text: str, token: Token) -> bool:
    return (
        text[token.start - 1 : token.start].isspace() or text[token.end : token.end + 1].isspace()
    )


def _hangs(text: str, tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a hyphen at `place` stands for a second half: "right- or left-sided"."""
    following = tokens[place + 1 : place + 2]
    is_apart = text[tokens[place].start - 1 : tokens[place].start].isspace()
    return not is_apart and bool(following) and following[0].word in JOINERS


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
    if _has_new_subject(tokens, place, segment):
        return True
    if segment[0].endswith("ed") and segment[1:2] and segment[1] in _OBJECT_STARTS:
        return True
    for at, part in enumerate(segment):
        if part in VERBS:
            following = segment[at + 1 : at + 3]
            return (bool(following) and following[0] in _AGAIN) or not any(
                w in _LIST_TAIL for w in following
            )
    return False


def _goes_with(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether "with" follows the comma, and no "or" that goes on with the list before it."""
    following = tokens[place + 1 : place + 2]
    return bool(following) and following[0].word == "with" and not _is_list(tokens, place + 1)


def _has_new_subject(tokens: tuple[Token, ...], place: int, segment: list[str]) -> bool:
    """Whether a new subject follows the comma, or the comma closes an opening clause.

    A new subject: "..., he had", "..., obese female". An opening clause: "Because he had no
    insurance, ...".
    """
    if tokens[place].word != ",":
        return False
    if segment[0] in _SUBJECTS or any(w in _PERSONS for w in segment):
        return True
    is_first = all(t.word != "," for t in tokens[:place])
    return is_first and tokens[0].word in _SUBORDINATORS


def _affirms(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a word follows that is only said of what is present ("and mild ...")."""
    segment = _segment(tokens, place)
    if not segment or tokens[place].word == "as":
        return False
    if tokens[place].word == "," and _is_list(tokens, place):
        return False
    return segment[0] in _affirming() or (tokens[place].word == "," and _lasts(segment))


def _lasts(segment: list[str]) -> bool:
    """Whether a list's last item is said to be as before: "no mass, emphysema unchanged"."""
    for at, word in enumerate(segment):
        if word in ("with", "without", "or"):
            return False
        following = segment[at + 1 : at + 2]
        if word == "as" or word in _LASTING:
            is_end = not following or following[0] in _AFTER_LASTING
            return at > 0 and is_end and (word != "as" or bool(following))
    return False


def _claims(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a new claim begins at `place` without a joint: "no pneumothorax small effusion"."""
    if states(tokens, place):
        return True
    if tokens[place].word not in _affirming() or tokens[place].word in JOINERS:
        return False
    return not _HEADS.isdisjoint([tokens[place].word, *_segment(tokens, place)])


def states(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a structure and its predicate begin at `place`: "heart mildly enlarged"."""
    first = _past(tokens, place, _SUBJECT_OPENERS)
    end = _past(tokens, first, _SUBJECT_NOUNS)
    if end == first:
        return False
    while end < len(tokens) and (tokens[end].word.endswith("ly") or tokens[end].word in _DEGREES):
        end += 1
    return end < len(tokens) and (tokens[end].word in _PREDICATES or tokens[end].word in VERBS)


def _past(tokens: tuple[Token, ...], place: int, words: frozenset[str]) -> int:
    """Return the first token place from `place` on that is none of `words`."""
    while place < len(tokens) and tokens[place].word in words:
        place += 1
    return place


def _indications(tokens: tuple[Token, ...], cues: tuple[Match, ...]) -> Iterator[int]:
    """Yield the verbs of a missing sign: "absence of lung markings [indicates] a pneumothorax"."""
    missing = [c.end for c in cues if "absent_after" in c.values and tokens[c.start].word in _SIGNS]
    if missing:
        yield from (
            place
            for place in range(missing[0] + 1, len(tokens))
            if tokens[place].word in _INDICATING
        )


def _places(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether one finding and its place follow the only comma: ", atelectasis at the left base".

    In a list without "or" the last item may have a place; then there are more commas.
    """
    if tokens[place].word != "," or sum(t.word == "," for t in tokens) > 1:
        return False
    segment = _segment(tokens, place)
    heads = [i for i, word in enumerate(segment[:2]) if word in _HEADS]
    if not heads or _is_list(tokens, place):
        return False
    after = segment[heads[-1] + 1 :]
    return bool(after) and after[0] in _PREPOSITIONS and not _PLACES.isdisjoint(after)


def _segment(tokens: tuple[Token, ...], place: int) -> list[str]:
    """Return the words after `place`, up to the next comma, joint or full stop; at least one."""
    words = []
    for token in tokens[place + 1 :]:
        if token.word in (",", "and", ";", "but", "."):
            break
        words.append(token.word)
    if not words and place + 1 < len(tokens):
        return [tokens[place + 1].word]
    return words


def _is_list(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether the comma at `place` is in a list that a later "or" closes."""
    for token in tokens[place + 1 :]:
        if token.word in ("or", "nor", "/"):
            return True
        if token.word in VERBS or token.word in STOP_MARKS or token.word in ("but", "no", "with"):
            return False
    return False
