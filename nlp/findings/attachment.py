"""Finds the structure or device that a word of a sentence is said of.

"The heart is enlarged" and "enlarged heart" mean the same; "tube in normal position" says nothing
of the body. The order of the words, the verbs and the ends of clauses decide.
"""

from __future__ import annotations

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import states
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.terms import Structure, Term

_REGIONAL = lexicon.words("grammar", "regional") | {";", "."}
_CONCEDING = frozenset({"though", "although", "albeit", "while"})
_VERBS = lexicon.words("grammar", "structure_verbs")
_SHOWING = lexicon.words("grammar", "showing")
_PLAINLY = lexicon.words("grammar", "plainly")
_DEVICE_NOUNS = lexicon.words("grammar", "device_nouns")


def structure_near(scopes: Scopes, found: tuple[Term, ...], term: Term) -> Structure | None:
    """Return the structure that a finding or adjective belongs to, None where there is none.

    The first choice is one that follows in the same phrase ("enlarged heart", "opacity in the
    lung"), unless a verb links the word to what is before it ("the heart is enlarged"). The second
    choice is the one before.
    """
    before = [t for t in found if t.kind == "structure" and t.end <= term.start]
    after = [t for t in found if t.kind == "structure" and t.start >= term.end]
    near_before = (
        before[-1] if before and not _crosses(scopes, before[-1].end, term.start) else None
    )
    near_after = after[0] if after and not _crosses(scopes, term.end, after[0].start) else None
    if near_before and _shows(scopes, near_before.end, term.start):
        near_before = None  # "the radiograph shows enlargement of the aorta"
    if near_before and _has_verb(scopes, near_before.end, term.start):
        return near_before.entries[0]
    is_next = near_before and near_before.end == term.start
    if near_before and is_next and (term.kind == "finding" or _precedes_claim(scopes, term)):
        return near_before.entries[0]  # "heart enlarged mediastinum widened"
    if (
        near_after
        and near_after.start - term.end <= 4
        and not _has_verb(scopes, term.end, near_after.start)
    ):
        return near_after.entries[0]
    chosen = near_before or near_after
    return chosen.entries[0] if chosen else None


def _precedes_claim(scopes: Scopes, term: Term) -> bool:
    """Whether the next claim begins after the term: "heart enlarged, mediastinum widened"."""
    following = scopes.tokens[term.end : term.end + 1]
    return states(scopes.tokens, term.end + (bool(following) and following[0].word == ","))


def _crosses(scopes: Scopes, start: int, end: int) -> bool:
    """Whether a clause ends between two token places."""
    words = _without_aside([t.word for t in scopes.tokens[start:end]])
    return any(w in _REGIONAL for w in words) or sum(w in _VERBS for w in words) > 1


def _without_aside(words: list[str]) -> list[str]:
    """Return the words without an aside: "the heart[, though broad on this view,] is normal"."""
    if len(words) > 2 and words[0] == "," and words[1] in _CONCEDING and "," in words[2:]:
        return words[words.index(",", 2) + 1 :]
    return words


def _has_verb(scopes: Scopes, start: int, end: int) -> bool:
    return any(t.word in _VERBS for t in scopes.tokens[start:end])


def _shows(scopes: Scopes, start: int, end: int) -> bool:
    """Whether a verb of showing is between: what follows it is said of something else."""
    return any(t.word in _SHOWING for t in scopes.tokens[start:end])


def of_device(scopes: Scopes, found: tuple[Term, ...], term: Term) -> bool:
    """Whether a normal word is said of a device: "in normal position", "wires are intact"."""
    following = scopes.tokens[term.end : term.end + 1]
    if following and following[0].word in _DEVICE_NOUNS:
        return any(t.kind in ("support", "hardware") for t in found)
    return describes_device(scopes, found, term)


def tells_how_plain(scopes: Scopes, term: Term) -> bool:
    """Whether "clear" is said of a change or a sign: "clear worsening"."""
    following = scopes.tokens[term.end : term.end + 1]
    is_clear = term.end - term.start == 1 and scopes.tokens[term.start].word == "clear"
    return is_clear and bool(following) and following[0].word in _PLAINLY


def describes_device(scopes: Scopes, found: tuple[Term, ...], term: Term) -> bool:
    """Whether the nearest thing before (or right after) the word is a device, not a structure."""
    things = [t for t in found if t.kind in ("support", "hardware", "structure")]
    before = [t for t in things if t.end <= term.start and not _crosses(scopes, t.end, term.start)]
    following = scopes.tokens[term.end : term.end + 1]
    is_of = term.kind == "broken" and bool(following) and following[0].word == "of"
    reach = 4 if is_of else 1  # "fracture of the lead"
    if before and _shows(scopes, before[-1].end, term.start):  # "leads, show normal size of ..."
        before, reach = [], 8
    after = [t for t in things if t.start >= term.end and t.start - term.end <= reach
             and not (following and following[0].word == ",")]  # fmt: skip
    nearest = before[-1] if before else (after[0] if after else None)
    if after and not (before and _has_verb(scopes, before[-1].end, term.start)):
        nearest = after[0]
    return nearest is not None and nearest.kind != "structure"


def structures_of(scopes: Scopes, found: tuple[Term, ...], term: Term) -> list[Term]:
    """Return the structures that a normal word is said of.

    Those before it, up to the last predicate; where there is none, those after it, up to the next.
    """
    blocks = [t for t in found if t.kind in ("normal", "quality", "finding") and t != term]
    places = [t for t in found if t.kind == "structure"]
    floor = max([0, *(t.end for t in blocks if t.end <= term.start)])
    before = [p for p in places if floor <= p.start and p.end <= term.start
              and not _crosses(scopes, p.end, term.start)]  # fmt: skip
    if before:
        return before
    ceiling = min([len(scopes.tokens), *(t.start for t in blocks if t.start >= term.end)])
    return [p for p in places if term.end <= p.start < ceiling
            and not _crosses(scopes, term.end, p.start)]  # fmt: skip
