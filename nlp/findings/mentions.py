"""Finds the mentions of a sentence: findings and devices, each present, absent or uncertain.

`mentions` finds the findings of the lexicon. `assertion` judges any span of any clinical English.
`analyze` returns all that the engine understood of a sentence; `cxr_vlp.nlp.status` uses it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.boundaries import VERBS, ScopeEnds
from cxr_vlp.nlp.context.certainty import NONE, grade
from cxr_vlp.nlp.context.discourse import Discourse
from cxr_vlp.nlp.context.discourse import find as find_discourse
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Assertion, Scopes, Verdict
from cxr_vlp.nlp.devices import reading
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.attachment import (
    describes_device,
    of_device,
    structure_near,
    structures_of,
    tells_how_plain,
)
from cxr_vlp.nlp.findings.change import UNSAID, Change
from cxr_vlp.nlp.findings.change_attachment import change_of
from cxr_vlp.nlp.findings.change_sides import Side, changes_by_side
from cxr_vlp.nlp.findings.mention import NEW, RESOLVED, UNNAMED, Mention
from cxr_vlp.nlp.findings.modifiers import Modifiers, modifiers_of, of_part
from cxr_vlp.nlp.findings.phrases import tags
from cxr_vlp.nlp.findings.suggestion import either, linked
from cxr_vlp.nlp.findings.terms import Finding, Quality, Structure, Term
from cxr_vlp.nlp.match import windows
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_COPULA = 3  # tokens: "appears to be"
_LINKING = lexicon.words("grammar", "linking")
_DENIES_NORMAL = lexicon.words("grammar", "denies_normal")
_LOSSES = lexicon.words("grammar", "losses")
_LESS = "less"
_NEVER_NORMAL = lexicon.words("grammar", "never_normal")
_SCARCE = lexicon.words("grammar", "scarce")
_POSITIONS = lexicon.words("places", "positions")
_SUBJECTS = lexicon.words("grammar", "claim_subjects")
_EXTENTS = lexicon.words("grammar", "extents")
_EXTENT_REACH = 7  # tokens: "increase, if any, in the size"
_VERSUS = lexicon.words("grammar", "versus")


@dataclass(frozen=True)
class Analysis:
    """All that the engine understood of a sentence. Places are tokens, but those of mentions."""

    scopes: Scopes
    terms: tuple[Term, ...]
    discourse: Discourse
    mentions: tuple[Mention, ...]
    normals: tuple[Term, ...]  # words that call a structure normal
    devices: tuple[Term, ...]
    hypothetical: int  # findings named only as what a next step looks for
    versus: bool  # one of two findings is certainly present
    misplaced: Assertion | None = None  # whether a device lies in a wrong place; None: unsaid


def assertion(sentence: str, start: int, end: int) -> Assertion | None:
    """Return the assertion of the span sentence[start:end]; None for a span without a word.

    The span may be any words of clinical English: the lexicon's findings are not used. `start` and
    `end` count characters, and `end` is after the last. A span of marks, blanks or masks alone has
    no word. Raises ValueError for a span that is not inside the sentence.

    >>> assertion("No fever, but cough persists.", 3, 8)
    'absent'
    >>> assertion("No fever, but cough persists.", 14, 19)
    'present'
    >>> assertion("Cannot exclude a small pneumothorax.", 17, 35)
    'uncertain'
    >>> assertion("No ___ seen.", 3, 6) is None
    True
    """
    if not 0 <= start < end <= len(sentence):
        raise ValueError(f"no span of the sentence: characters {start} to {end} of {len(sentence)}")
    near, shift = windows.around(sentence, start, end)
    scopes = scope.find(near)
    span = _token_span(scopes, start - shift, end - shift)
    return scope.verdict(scopes, *span).assertion if span else None


def _token_span(scopes: Scopes, start: int, end: int) -> tuple[int, int] | None:
    inside = [i for i, t in enumerate(scopes.tokens) if t.start < end and t.end > start]
    return (inside[0], inside[-1] + 1) if inside else None


def mentions(sentence: str) -> tuple[Mention, ...]:
    """Return the findings and devices that `sentence` mentions, in order.

    >>> for mention in mentions("Small left effusion, no pneumothorax."):
    ...     print(f"{mention.finding}: {mention.assertion}")
    pleural effusion: present
    pneumothorax: absent
    """
    return analyze(sentence).mentions


def analyze(sentence: str) -> Analysis:
    """Return the analysis of `sentence`, window by window where it is longer than any sentence."""
    if len(sentence) <= windows.WIDTH:
        return _analyze(sentence)
    parts = windows.split(sentence)
    return _joined(sentence, [(_analyze(sentence[a:b]), a) for a, b in parts])


@functools.lru_cache(maxsize=256)  # its tokens are many objects; `classify` keeps what is decided
def _analyze(sentence: str) -> Analysis:
    """Return the analysis of one window."""
    scopes = scope.find(sentence)
    found = terms.find(scopes.tokens)
    discourse = find_discourse(scopes.tokens, scopes.vocabulary)
    named_devices = tuple(t for t in found if t.kind in ("support", "hardware"))
    read = reading.read(scopes, found, discourse)
    found = read.terms  # what is said of a device is not said of the body
    normals = tuple(t for t in found if t.kind == "normal" and _is_of_body(scopes, found, t))
    named = [*_named(scopes, found), *_qualities(scopes, found)]
    real = [(t, f, s) for t, f, s in named if not discourse.governs(t.start)]
    said = [mention for t, f, s in real for mention in _mentions(scopes, found, t, f, s)]
    said += _not_normal(scopes, normals)
    said += _implied(scopes, found, normals, said)
    said += read.mentions
    said.sort(key=lambda m: (m.start, m.end, m.finding))
    said, is_choice = either(scopes, said)
    return Analysis(
        scopes, found, discourse, tuple(linked(scopes, said)), normals, named_devices,
        len(named) - len(real), is_choice or _is_versus(scopes, real), read.misplaced,
    )  # fmt: skip


def _is_of_body(scopes: Scopes, found: tuple[Term, ...], term: Term) -> bool:
    return not of_device(scopes, found, term) and not tells_how_plain(scopes, term)


def _named(
    scopes: Scopes, found: tuple[Term, ...]
) -> Iterable[tuple[Term, Finding, Structure | None]]:
    """Yield the findings called by a name of their own."""
    for term in found:
        if term.kind == "finding":
            place = structure_near(scopes, found, term)
            yield from ((term, entry, place) for entry in term.entries)


def _qualities(
    scopes: Scopes, found: tuple[Term, ...]
) -> Iterable[tuple[Term, Finding, Structure | None]]:
    """Yield the findings that an adjective makes of a structure: "enlarged" + heart."""
    for term in found:
        # "displaced fracture": the adjective is the finding's, no finding of its own
        if term.kind != "quality" or (len(found) > 1 and _is_adjective(scopes, found, term)):
            continue
        place = structure_near(scopes, found, term)
        name = _finding_of(term.entries, place)
        if name == UNNAMED and _is_opinion(scopes, term):
            continue
        if _is_of_extent(scopes, found, term):
            continue
        if name and not describes_device(scopes, found, term):
            yield term, terms.findings()[name], place


def _is_of_extent(scopes: Scopes, found: tuple[Term, ...], term: Term) -> bool:
    """Whether the word tells of the extent of a finding: "increase in the size of the effusion"."""
    after = [token.word for token in scopes.tokens[term.end : term.end + _EXTENT_REACH]]
    if _EXTENTS.isdisjoint(after):
        return False
    # "enlarged in size with an effusion" is said of a structure before it
    said_of = any(a in _EXTENTS and b == "of" for a, b in itertools.pairwise(after))
    return said_of and any(t.kind == "finding" and t.start >= term.end for t in found)


def _is_opinion(scopes: Scopes, term: Term) -> bool:
    """Whether the word is part of a hedge: "pneumothorax was raised by the referrer"."""
    return any(
        "uncertain_before" in c.values and c.start < term.start and term.end <= c.end
        for c in scopes.cues
    )


def _is_adjective(scopes: Scopes, found: tuple[Term, ...], term: Term) -> bool:
    """Whether the adjective is of a finding after it: "hazy right perihilar opacity"."""
    known = tags(scopes.tokens)
    names = {i for t in found if t.kind in ("structure", "quality") for i in range(t.start, t.end)}
    if term.start and (
        term.start - 1 in names or scopes.tokens[term.start - 1].word in VERBS
    ):  # "heart enlarged, left effusion": it is the structure's
        return any(
            t.kind == "finding"
            and t.start in (term.start, term.end)
            and scopes.tokens[t.start].word not in _SUBJECTS
            for t in found
        )
    for other in found:
        if other.kind != "finding" or other.start < term.start:
            continue
        return other.start == term.start or all(
            i in known or i in names or scopes.tokens[i].word in _POSITIONS
            for i in range(term.end, other.start)
        )
    return False


def _finding_of(entries: tuple[Quality, ...], place: Structure | None) -> str:
    if place is not None:
        for quality in entries:
            if place.name in quality.of:
                return quality.of[place.name]
    return next((quality.any for quality in entries if quality.any), "")


def _mentions(
    scopes: Scopes, found: tuple[Term, ...], term: Term, finding: Finding, place: Structure | None
) -> Iterable[Mention]:
    """Yield the mention of a finding, one for each side where the sides differ."""
    verdict = _within_limits(scopes, found, term) or scope.verdict(scopes, term.start, term.end)
    rows = modifiers_of(scopes, found, term)
    sides = changes_by_side(scopes, found, term)
    if sides:
        rows = _changing_rows(scopes, found, term, rows, sides)
        change = UNSAID
    else:
        change = change_of(scopes, found, term, verdict)
        verdict = _changed(verdict, change)
        if change.kind == RESOLVED and verdict.assertion == PRESENT:
            change = UNSAID  # gone on one side, not yet on the other
    is_partly_denied = any(row.denial for row in rows)
    for extra in rows:
        own = _on_side(verdict, extra.denial) if is_partly_denied else verdict
        said = sides[extra.side].change if sides else change
        yield Mention(
            finding.name,
            finding.labels[0] if finding.labels else "",
            own.assertion,
            scopes.tokens[term.start].start,
            scopes.tokens[term.end - 1].end,
            extra.zone or (place.name if place and not place.whole else ""),
            extra.side,
            (own.assertion == ABSENT and extra.weight) or extra.severity,
            own.trigger,
            certainty=grade(own),
            change=said.kind,
            change_words=said.words,
            places=extra.places,
            sizes_mm=extra.sizes_mm,
        )


def _changed(verdict: Verdict, change: Change) -> Verdict:
    """Return the verdict that a change leaves: what has gone is absent, what is new is there."""
    if change.kind == RESOLVED and verdict.assertion == PRESENT and not verdict.category:
        return Verdict(ABSENT, change.words, "absent_before")
    if change.kind in ("", RESOLVED) or verdict.assertion == PRESENT:
        return verdict
    # what denies it is only a part of the change: "not seen on the outside CT", "not larger"
    is_inside = verdict.trigger in change.words
    if verdict.assertion == ABSENT:
        is_inside = is_inside or change.words in verdict.trigger or change.kind == NEW
    if is_inside:
        return Verdict(PRESENT, "", "")
    return verdict


def _changing_rows(
    scopes: Scopes,
    found: tuple[Term, ...],
    term: Term,
    rows: tuple[Modifiers, ...],
    sides: Mapping[str, Side],
) -> tuple[Modifiers, ...]:
    """Return a row for each side of a finding that changed in another way on each side."""
    own = {row.side: row for row in rows}
    is_main_sided = any(side.is_main for side in sides.values())
    changed = []
    for name, side in sides.items():
        row = own.get(name) or of_part(scopes, found, term, [*side.part])
        if not row.severity and not is_main_sided:
            row = row._replace(severity=rows[0].severity)
        denial = side.change.words if side.change.kind == RESOLVED else ""
        sizes = rows[0].sizes_mm if side.is_main else ()
        changed.append(row._replace(side=name, denial=denial, sizes_mm=sizes))
    return tuple(changed)


def _on_side(verdict: Verdict, denial: str) -> Verdict:
    """Return the verdict on one side: "small on the right, none on the left"."""
    if denial:
        return Verdict(ABSENT, denial, "absent_before")
    if verdict.assertion == ABSENT:  # by the word that denies the other side
        return Verdict(PRESENT, "", "")
    return verdict


def _within_limits(scopes: Scopes, found: tuple[Term, ...], term: Term) -> Verdict | None:
    """Return a denial where the finding itself is the subject of a normal predicate.

    "Vascular engorgement is within normal limits" says that there is none worth a mention.
    """
    for other in found:
        if other.kind == "normal" and 0 < other.start - term.end <= _COPULA:
            between = {t.word for t in scopes.tokens[term.end : other.start]}
            if between <= _LINKING and not between.isdisjoint(VERBS):
                words = scopes.words(other.start, other.end)
                return Verdict(ABSENT, words, "normal_predicate")
    return None


def _not_normal(scopes: Scopes, normals: tuple[Term, ...]) -> Iterable[Mention]:
    """Yield an abnormality for each structure said not to be normal or clear."""
    for term in normals:
        if _is_denied(scopes, term):
            tokens = scopes.tokens
            start, end = tokens[term.start].start, tokens[term.end - 1].end
            yield Mention(UNNAMED, "", PRESENT, start, end, trigger="not")


def _is_denied(scopes: Scopes, term: Term) -> bool:
    """Whether the normal word is denied within three words before it ("are not entirely clear")."""
    words = [t.word for t in scopes.tokens[max(0, term.start - 3) : term.start]]
    if any(w in _DENIES_NORMAL for w in words) or words[-1:] == [_LESS]:
        return True
    return " ".join(words[-2:]) in _NEVER_NORMAL or _is_missing(scopes, term)


def _is_missing(scopes: Scopes, term: Term) -> bool:
    """Whether what is normal is lost: "loss of the normal contour", "normal lung is not seen"."""
    tokens = scopes.tokens
    if tokens[term.start].word != "normal" or term.end - term.start > 1:
        return False
    before = [t.word for t in tokens[max(0, term.start - 6) : term.start] if t.word != "the"]
    if before[-1:] and before[-1] in _SCARCE:
        return True
    if before[-1:] == ["of"] and before[-2:-1] and before[-2] in _LOSSES:
        return "no" not in before and "without" not in before
    if not any("absent_before" in cue.values for cue in scopes.cues):
        return False
    following = tokens[term.end].word if term.end < len(tokens) else ""
    said = scope.verdict(scopes, term.start, term.end)
    return following in _SUBJECTS and said.category == "absent_before"


def _implied(
    scopes: Scopes, found: tuple[Term, ...], normals: tuple[Term, ...], said: list[Mention]
) -> list[Mention]:
    """Return the findings that "normal" denies of the structures it is said of."""
    named = {m.finding for m in said}
    implied = []
    for term in normals:
        if _is_denied(scopes, term):
            continue
        for place in structures_of(scopes, found, term):
            for name in place.entries[0].normal_means:
                if name not in named:
                    named.add(name)
                    implied.append(_implied_mention(scopes, term, place, name))
    return implied


def _implied_mention(scopes: Scopes, term: Term, place: Term, name: str) -> Mention:
    finding, tokens = terms.findings()[name], scopes.tokens
    return Mention(
        name,
        finding.labels[0] if finding.labels else "",
        ABSENT,
        tokens[place.start].start,
        tokens[place.end - 1].end,
        place.entries[0].name if not place.entries[0].whole else "",
        trigger=scopes.words(term.start, term.end),
        implied=True,
        certainty=NONE,
    )


def _is_versus(scopes: Scopes, real: list[tuple[Term, Finding, Structure | None]]) -> bool:
    """Whether findings are on both sides of "versus": then one of them is present."""
    if _VERSUS.isdisjoint(scopes.vocabulary):
        return False
    for place, token in enumerate(scopes.tokens):
        if token.word in _VERSUS:
            sides = {t.end <= place for t, f, _ in real}
            return len(sides) == 2
    return False


def _joined(text: str, parts: Sequence[tuple[Analysis, int]]) -> Analysis:
    """Return the analyses of the windows of `text` as one.

    `parts` are (analysis, first character). The scope of a cue ends at the edge of its window.
    """
    begins, places = [start for _, start in parts], [0]
    for analysis, _ in parts:
        places.append(places[-1] + len(analysis.scopes.tokens))
    analyses = [analysis for analysis, _ in parts]
    first: dict[str, int] = {}
    for analysis, place in zip(analyses, places, strict=False):
        for kind, at in analysis.discourse.first.items():
            first.setdefault(kind, at + place)
    return Analysis(
        _join_scopes(text, [a.scopes for a in analyses], begins, places),
        _moved((a.terms for a in analyses), places),
        Discourse(first),
        tuple(
            dataclasses.replace(m, start=m.start + begin, end=m.end + begin)
            for analysis, begin in parts
            for m in analysis.mentions
        ),
        _moved((a.normals for a in analyses), places),
        _moved((a.devices for a in analyses), places),
        sum(a.hypothetical for a in analyses),
        any(a.versus for a in analyses),
        next((s for s in (PRESENT, UNCERTAIN) if any(a.misplaced == s for a in analyses)), None),
    )


def _join_scopes(
    text: str, scopes: Sequence[Scopes], begins: Sequence[int], places: Sequence[int]
) -> Scopes:
    tokens = (
        Token(t.word, t.start + begin, t.end + begin)
        for s, begin in zip(scopes, begins, strict=True)
        for t in s.tokens
    )
    cues = (
        Match(c.start + place, c.end + place, c.values)
        for s, place in zip(scopes, places, strict=False)
        for c in s.cues
    )
    ends = (
        tuple(at + place for s, place in zip(scopes, places, strict=False) for at in s.ends[kind])
        for kind in range(len(ScopeEnds._fields))
    )
    words = frozenset[str]().union(*(s.vocabulary for s in scopes))
    return Scopes(text, tuple(tokens), tuple(cues), ScopeEnds(*ends), words)


def _moved(found: Iterable[tuple[Term, ...]], places: Sequence[int]) -> tuple[Term, ...]:
    return tuple(
        t._replace(start=t.start + place, end=t.end + place)
        for terms, place in zip(found, places, strict=False)
        for t in terms
    )
