"""Holds a sentence that is being said again: its tokens, the edits made to it, its clauses."""

from __future__ import annotations

from dataclasses import dataclass, field

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import Token, tokenize


def words(group: str) -> frozenset[str]:
    """Return the words of a list of priors.yaml in the form that tokens have."""
    return frozenset(t.word for phrase in lexicon.load("priors")[group] for t in tokenize(phrase))


DEVICES = ("support", "hardware")
BREAKS = words("breaks")
VERBS = words("clause_verbs")
AUXILIARIES = words("auxiliaries")
ASPECTS = words("aspects")
DEGREES = words("degrees")
DETERMINERS = words("determiners")
_PLURALS = lexicon.words("priors", "plural_verbs")


@dataclass
class Draft:
    """A sentence that is being said again: its tokens and terms, and the edits made to it."""

    text: str
    tokens: tuple[Token, ...]
    found: tuple[Term, ...]
    edits: list[tuple[int, int, str]] = field(default_factory=list)  # characters, new text
    reworded: bool = False

    def word(self, place: int) -> str:
        """Return the plain word at a place, "." outside the sentence."""
        return self.tokens[place].word if 0 <= place < len(self.tokens) else "."

    def delete(self, start: int, end: int) -> None:
        """Leave out tokens[start:end]."""
        if start < end:
            self.edits.append((self.tokens[start].start, self.tokens[end - 1].end, ""))

    def replace(self, start: int, end: int, text: str) -> None:
        """Put `text` in place of tokens[start:end], or before `start` where they are none."""
        first = self.tokens[start].start if start < len(self.tokens) else len(self.text)
        self.edits.append((first, self.tokens[end - 1].end if end > start else first, text))
        self.reworded = True

    def terms(self, start: int, end: int, *kinds: str) -> list[Term]:
        """Return the terms of these kinds inside tokens[start:end]."""
        return [t for t in self.found if start <= t.start and t.end <= end and t.kind in kinds]

    def result(self) -> str:
        """Return the text with the edits made; one inside another is part of it."""
        text, done = [], 0
        for start, end, new in sorted(self.edits, key=lambda e: (e[0], e[1] > e[0], -e[1])):
            if start < done:
                done = done if new else max(done, end)
                continue
            text += [self.text[done:start], new]
            done = end
        return "".join([*text, self.text[done:]])


def clause_start(draft: Draft, place: int) -> int:
    """Return where the clause of the token at `place` begins."""
    for at in range(place - 1, -1, -1):
        word = draft.word(at)
        if word in BREAKS:
            return at + 1
        if word in (",", "and") and any(
            draft.word(i) in VERBS for i in range(floor(draft, at), at)
        ):
            return at + 1
        if word == "," and not draft.terms(0, at, "finding", "structure", *DEVICES):
            return at + 1  # "overall, the effusion ..."
    return 0


def floor(draft: Draft, place: int) -> int:
    """Return the place behind the last mark or word before `place` that ends a clause."""
    return max((i for i in range(place) if draft.word(i) in BREAKS), default=-1) + 1


def clause_end(draft: Draft, place: int) -> int:
    """Return where the clause that goes on at `place` ends."""
    for at in range(place, len(draft.tokens)):
        word = draft.word(at)
        if word in BREAKS or word in ("!", "?"):
            return at
        if word in (",", "and") and _opens_clause(draft, at + 1):
            return at
    return len(draft.tokens)


def _opens_clause(draft: Draft, place: int) -> bool:
    """Whether a clause with a finding and a verb or word of change of its own begins here."""
    if draft.word(place) in VERBS or draft.word(place) in ("now", "not"):
        return False
    if draft.word(place) in ("no", "without", "there", "with"):
        return True
    for at in range(place, len(draft.tokens)):
        word = draft.word(at)
        if word in BREAKS or word == ",":
            return False
        if word in VERBS or any(s.word == at for s in change.signs(draft.tokens)):
            return bool(draft.terms(place, len(draft.tokens), "finding", "structure", *DEVICES))
    return False


def drop(draft: Draft, start: int, end: int) -> int:
    """Leave out a clause with the joint before it, or after it where it is the first."""
    first = start
    while first > 0 and draft.word(first - 1) in (",", "and", "but", "while", ";", "although"):
        first -= 1
    if first == 0 or draft.word(first - 1) == ":":
        while draft.word(end) in (",", "and", "but", "while", ";", "although") and end < len(
            draft.tokens
        ):
            end += 1
    draft.delete(first, end)
    return end


def cut(draft: Draft, start: int, end: int) -> int:
    """Leave out tokens[start:end], and return `end`."""
    draft.delete(start, end)
    return end


def skip(draft: Draft, place: int, words: frozenset[str]) -> int:
    """Return the first place from `place` on that has none of the words."""
    while draft.word(place) in words:
        place += 1
    return place


def be(draft: Draft, verb: int) -> str:
    """Return "is" or "are", as the verb at a place has it."""
    text = draft.text[draft.tokens[verb].start : draft.tokens[verb].end].lower()
    return "are" if text in _PLURALS else "is"


def aspect_end(draft: Draft, place: int) -> int:
    """Return where "in size" and the like end after a word of change."""
    while draft.word(place) in DEGREES:  # "has increased slightly in size"
        place += 1
    while draft.word(place) in ("and", "or") and draft.word(place + 1) in ASPECTS:
        place += 2
    if draft.word(place) in ("in", "of") and draft.word(place + 1) in ASPECTS:
        place += 2
        while draft.word(place) in ("and", "or") and draft.word(place + 1) in ASPECTS:
            place += 2
    return place


def past_aspects(draft: Draft, place: int) -> int:
    """Return where the thing begins behind "the size of" and the like."""
    after = skip(draft, place, DETERMINERS)
    while draft.word(after) in ASPECTS or draft.word(after) in ("overall", "known"):
        after += 1
        if draft.word(after) in ("of", "and"):
            place = after + 1
            after = skip(draft, place, DETERMINERS)
    return place
