"""Says the clauses of a sentence again without change: "the effusion has decreased".

Each word of change (findings/change.py) is left out where it is an attribute ("unchanged
effusion") or stands alone behind a finding ("effusion, unchanged"). A predicate ("has decreased")
becomes "there is". What only tells of change is dropped with its clause.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.change import CHANGED, LEFT_OVER, STILL_THERE, Sign
from cxr_vlp.nlp.findings.mention import NEW, RESOLVED
from cxr_vlp.nlp.findings.terms import Finding, Term
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match, Phrases

_DEVICES = ("support", "hardware")
_BREAKS = frozenset((";", ":", ".", "but", "while", "whereas", "although", "however", "though"))
_VERBS = frozenset(("is", "are", "was", "were", "has", "have", "had", "remain", "appear", "seem",
                    "look", "become", "show", "demonstrate", "continue", "persist"))  # fmt: skip
_BE = frozenset(("is", "are", "was", "were", "appear", "remain", "been"))
_SEGMENTS = frozenset((",", "but", "with", "without", "while", "which", *_BREAKS))
_LEADS = frozenset((",", "but", "and", "or", "with", "which", "that", ":", "-", "("))
_HELPERS = frozenset(("been", "be", "to", "undergone", "may", "might", "could", "not", "again", "do",
                      "doe", "did", "further", "both", "s"))  # fmt: skip


def _words(group: str) -> frozenset[str]:
    return frozenset(t.word for phrase in lexicon.load("priors")[group] for t in tokenize(phrase))


_ASPECTS, _SEEN, _ALONE = _words("aspects"), _words("seen"), _words("alone")
_AIMS, _NOUNS, _GOING_ON = _words("aims"), _words("nouns"), _words("going_on")
_UNCOUNTED = _words("uncounted")
_DETERMINERS, _ARRIVED, _DEPARTED = _words("determiners"), _words("arrived"), _words("departed")
_ADVERBS = change._ADVERBS | _words("alone")
_STATES = frozenset(
    tokenize(word)[0].word
    for words in lexicon.load("modifiers")["severity"].values()
    for word in words
)


@functools.cache
def _events() -> Phrases:
    table = lexicon.load("priors")
    kinds = ("arrivals", "departures")
    return Phrases((phrase, kind) for kind in kinds for phrase in table[kind])


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
                continue
            text += [self.text[done:start], new]
            done = end
        return "".join([*text, self.text[done:]])


def resay(
    text: str, tokens: tuple[Token, ...], found: tuple[Term, ...], compared: bool
) -> tuple[str, bool]:
    """Return the text without change, and whether it was said in another way.

    `compared`: whether the sentence compares with an older image ("increased density since ___").
    """
    draft = Draft(text, tokens, found)
    done = -1
    for event in _events().find(tokens):
        done = max(done, _say_event(draft, event))
    if draft.terms(0, len(tokens), *_DEVICES):
        for place in range(1, len(tokens)):
            done = max(done, _say_move(draft, place))
    for sign in change.signs(tokens):
        if sign.word < done or _is_aim(draft, sign) or _is_loose(draft, sign):
            continue
        if not _names_a_finding(draft, sign, compared=compared):
            done = max(done, _say(draft, sign))
    _cut_adverbs(draft, done)
    return draft.result(), draft.reworded


def _is_aim(draft: Draft, sign: Sign) -> bool:
    """Whether the word is what a next step looks for: "to ensure complete resolution"."""
    before = [draft.word(p) for p in range(max(0, sign.word - 3), sign.word)]
    is_noun = any(draft.word(p) in _NOUNS for p in range(sign.word, sign.end)) or (
        draft.word(sign.word) == "stability"
    )
    return is_noun and not _AIMS.isdisjoint(before)


def _is_loose(draft: Draft, sign: Sign) -> bool:
    """Whether "change" is the name of a finding ("chronic changes"), or of no finding."""
    if sign.kind != CHANGED or sign.denied:
        return False
    return draft.word(sign.word) not in ("interval", "changed", "altered")


def _names_a_finding(draft: Draft, sign: Sign, *, compared: bool) -> bool:
    """Whether the word is part of a finding's name, or makes a finding of a structure."""
    over = [t for t in draft.found if t.start < sign.end and t.end > sign.word]
    if any(t.kind == "finding" for t in over):
        return True
    if sign.denied or draft.word(sign.word) not in change._RELATIVE_WORDS | _SIZES:
        return False
    if sign.predicate:
        if not any(t.kind == "quality" for t in over):
            return False
        if _verb_before(draft, sign, 0) is None:  # "opacity, increased"
            return not draft.terms(_floor(draft, sign.word), sign.word, "finding", *_DEVICES)
        clause = draft.terms(_clause_start(draft, sign.word), sign.word, "finding", *_DEVICES)
        has = any(draft.word(p) in ("has", "have") for p in range(sign.word - 4, sign.end))
        return not clause and not (has and compared)
    place = _skip(draft, sign.end, _JOINED)
    if draft.word(place) in ("in", "of"):
        return False
    stop = next((p for p in range(place, place + 7) if draft.word(p) in _PHRASE_ENDS), place + 7)
    near = draft.terms(place, stop, "finding", "structure")
    if not near:
        return False
    named = next((t for t in near if t.kind == "finding"), None)
    if named is None:
        return any(t.kind == "quality" for t in over)
    names = {e.name for e in named.entries}
    return not compared and not names.isdisjoint(change._RELATIVE)


_PHRASE_ENDS = change._STOPS | change._FORWARD_STOPS | {","}
_JOINED = frozenset(("and", "or"))
_SIZES = frozenset(("enlarging", "larger", "enlargement"))


# --- where clauses begin and end -----------------------------------------------------------------


def _clause_start(draft: Draft, place: int) -> int:
    """Return where the clause of the token at `place` begins."""
    for at in range(place - 1, -1, -1):
        word = draft.word(at)
        if word in _BREAKS:
            return at + 1
        if word in (",", "and") and any(
            draft.word(i) in _VERBS for i in range(_floor(draft, at), at)
        ):
            return at + 1
        if word == "," and not draft.terms(0, at, "finding", "structure", *_DEVICES):
            return at + 1  # "overall, the effusion ..."
    return 0


def _floor(draft: Draft, place: int) -> int:
    return max((i for i in range(place) if draft.word(i) in _BREAKS), default=-1) + 1


def _clause_end(draft: Draft, place: int) -> int:
    """Return where the clause that goes on at `place` ends."""
    for at in range(place, len(draft.tokens)):
        word = draft.word(at)
        if word in _BREAKS or word in ("!", "?"):
            return at
        if word in (",", "and") and _opens_clause(draft, at + 1):
            return at
    return len(draft.tokens)


def _opens_clause(draft: Draft, place: int) -> bool:
    """Whether a clause with a finding and a verb or word of change of its own begins here."""
    if draft.word(place) in _VERBS or draft.word(place) in ("now", "not"):
        return False
    if draft.word(place) in ("no", "without", "there", "with"):
        return True
    for at in range(place, len(draft.tokens)):
        word = draft.word(at)
        if word in _BREAKS or word == ",":
            return False
        if word in _VERBS or any(s.word == at for s in change.signs(draft.tokens)):
            return bool(draft.terms(place, len(draft.tokens), "finding", "structure", *_DEVICES))
    return False


def _drop(draft: Draft, start: int, end: int) -> int:
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


# --- one word of change --------------------------------------------------------------------------


def _say(draft: Draft, sign: Sign) -> int:
    """Edit out one word of change. Return the place up to which the sentence is done."""
    start = _clause_start(draft, sign.word)
    if "now" in (draft.word(sign.word), draft.word(sign.word + 2)) and sign.kind == NEW:
        place = sign.word if draft.word(sign.word) == "now" else sign.word + 2
        draft.delete(place, place + 1)
        return sign.end
    if sign.denied and sign.kind == NEW and not sign.predicate:
        return _drop(draft, max(start, min(start, sign.start)), _clause_end(draft, sign.end))
    end = _aspect_end(draft, sign.end)
    verb = _verb_before(draft, sign, start)
    if (
        verb is not None
        and draft.word(sign.end - 1) not in ("of", "in")
        and (sign.predicate and draft.terms(start, verb, "finding", *_DEVICES))
    ):
        return _predicate(draft, sign, start, verb, end)
    if draft.word(end - 1) in ("in", "of") or (
        draft.word(end) in ("in", "of")
        and (sign.word == start or any(draft.word(p) in _NOUNS for p in range(sign.word, end)))
    ):
        return _frame(draft, sign, start, end)
    if draft.word(sign.end) in ("is", "are") and sign.word <= start + 1:  # "Again seen is"
        return _noun_phrase(draft, start, sign.end + 1, there=False)
    if verb is not None and draft.word(verb) in ("show", "demonstrate"):
        verb = verb if draft.word(sign.end - 1) in _NOUNS else None
    if verb is not None and draft.word(verb - 1) == "there":
        return _existential(draft, sign, verb)
    if verb is not None and (sign.predicate or sign.kind == STILL_THERE):
        return _predicate(draft, sign, start, verb, end)
    return _attribute(draft, sign, end)


def _aspect_end(draft: Draft, place: int) -> int:
    """Return where "in size" and the like end after a word of change."""
    while draft.word(place) in _DEGREES:  # "has increased slightly in size"
        place += 1
    while draft.word(place) in ("and", "or") and draft.word(place + 1) in _ASPECTS:
        place += 2
    if draft.word(place) in ("in", "of") and draft.word(place + 1) in _ASPECTS:
        place += 2
        while draft.word(place) in ("and", "or") and draft.word(place + 1) in _ASPECTS:
            place += 2
    return place


def _verb_before(draft: Draft, sign: Sign, start: int) -> int | None:
    """Return the place of the verb whose predicate the word of change is in."""
    if draft.word(sign.word) in ("has", "have", "remain", "persist", "persisted"):
        return sign.word
    place = sign.word - 1
    while place >= start:
        word = draft.word(place)
        if word in _VERBS:
            while draft.word(place - 1) in _VERBS:
                place -= 1
            return place
        if word not in _ADVERBS and word not in _HELPERS and not change._is_change(word):
            return None
        place -= 1
    return None


def _existential(draft: Draft, sign: Sign, verb: int) -> int:
    """Cut a word after "there is", or say "there is" for "there remains"."""
    end = sign.end
    if sign.word == verb or draft.word(verb) == "remain":
        draft.replace(verb, sign.end, _be(draft, verb))
        return end
    end = _past_aspects(draft, end + (draft.word(end) == ","))
    draft.delete(_run_start(draft, sign), end)
    return end


def _be(draft: Draft, verb: int) -> str:
    """Return "is" or "are", as the verb at a place has it."""
    text = draft.text[draft.tokens[verb].start : draft.tokens[verb].end].lower()
    if text in ("are", "were", "have", "remain", "appear", "seem", "look", "persist", "continue"):
        return "are"
    return "is"


def _attribute(draft: Draft, sign: Sign, end: int) -> int:
    """Cut a word of change beside a finding; "resolved" denies the finding."""
    start = _run_start(draft, sign)
    if draft.word(sign.word) == "more" and not sign.predicate:
        return _cut(draft, start, sign.word + 1)  # "more prominent markings"
    if sign.kind == RESOLVED and not sign.denied:
        return _deny(draft, sign, start, end)
    if draft.word(end) in ("appearing", "looking"):
        end += 1
    empty = _empty_segment(draft, sign)
    if empty:
        return _drop(draft, *empty)
    if draft.word(end) in _ASPECTS and draft.word(end + 1) == "of":  # "stable appearance of"
        after = _past_aspects(draft, end)
        first = [t for t in draft.found if t.start >= after][:1]
        if first and first[0].kind == "structure":
            return _cut(draft, start, end)  # "appearance of the chest, with ..."
        return (
            _noun_phrase(draft, start, after, there=False)
            if not start
            else _cut(draft, start, after)
        )
    state = _state_after(draft, end) if draft.word(end) == "and" else None
    if state is not None:  # "contours stable and normal"
        return _cut(draft, start, state)
    if (
        start
        and draft.word(end) in (",", ".", ";", "and", "with", "but")
        or end >= len(draft.tokens)
    ):
        while start and draft.word(start - 1) in _LEADS:
            start -= 1
        if draft.word(end) == ")":
            end += 1
    elif draft.word(end) == ",":
        end += 1
    draft.delete(start, end)
    return end


def _cut(draft: Draft, start: int, end: int) -> int:
    draft.delete(start, end)
    return end


def _empty_segment(draft: Draft, sign: Sign) -> tuple[int, int] | None:
    """Return the part of the sentence that says nothing but that a structure is the same."""
    start, end = sign.word, sign.end
    while start and draft.word(start - 1) not in _SEGMENTS:
        start -= 1
    while end < len(draft.tokens) and draft.word(end) not in _SEGMENTS:
        end += 1
    if draft.word(end) in ("with", "which"):
        return None
    others = draft.terms(start, end, "finding", "quality", "normal", *_DEVICES)
    if any(not (t.start < sign.end and t.end > sign.word) for t in others):
        return None
    is_bare = end - start <= sign.end - sign.word + 1
    return (start, end) if is_bare or draft.terms(start, end, "structure") else None


def _deny(draft: Draft, sign: Sign, start: int, end: int) -> int:
    clause = _clause_start(draft, sign.word)
    if draft.terms(clause, sign.word, "finding") and draft.word(end) in change._TRAILING:
        draft.replace(clause, _skip(draft, clause, _DETERMINERS), "no ")
        draft.delete(start, end)
    else:
        draft.replace(start, end, "no")
    return end


def _run_start(draft: Draft, sign: Sign) -> int:
    """Return where the adverbs of a word of change begin, and its denial."""
    is_still = sign.kind in (STILL_THERE, LEFT_OVER)  # "no residual effusion"
    start = sign.start if sign.denied and not is_still else sign.word
    while start and (
        draft.word(start - 1) in _DEGREES or draft.word(start - 1) in ("interval", "again", "now")
    ):
        start -= 1
    if draft.word(start - 1) in ("but", "or", "and", "to", "/") and start > 1:
        before = draft.word(start - 2)
        if before in _STATES or any(s.end == start - 1 for s in change.signs(draft.tokens)):
            start -= 1  # "small but increasing", "residual or recurrent"
    return start


_DEGREES = frozenset(
    "slightly mildly minimally somewhat markedly significantly substantially essentially grossly "
    "relatively overall largely generally moderately also further not slight marked significant "
    "considerably greatly dramatically very appreciably definitely".split()
)


def _skip(draft: Draft, place: int, words: frozenset[str]) -> int:
    while draft.word(place) in words:
        place += 1
    return place


# --- predicates: "the effusion has decreased" ----------------------------------------------------


def _predicate(draft: Draft, sign: Sign, start: int, verb: int, end: int) -> int:
    last = sign.end - 1
    if sign.kind == STILL_THERE and draft.word(last) in _SEEN and sign.word < last:
        draft.delete(sign.word, last)  # "is again seen"
        return sign.end
    if draft.word(verb - 1) in ("which", "that") and draft.terms(
        0, verb, "finding", "quality", *_DEVICES
    ):
        first = verb - 1
        if draft.word(first) == "that" and sign.start < first:  # "no evidence that X has increased"
            first = verb
        else:
            if draft.word(end) in ("and", "but") and draft.word(end + 1) in _VERBS | _HELPERS:
                return _cut(draft, verb, end + 1)  # "which is unchanged and may be a scar"
            first -= draft.word(first - 1) == ","
            draft.delete(first, end)
            return end
    if sign.denied and sign.start < verb:  # "no evidence that the effusion has increased"
        that = [p for p in range(sign.start, verb) if draft.word(p) == "that"]
        if that:
            draft.delete(start, that[-1] + 1)
            start = that[-1] + 1
    state = _state_after(draft, end)
    if state is not None and sign.kind != RESOLVED:
        draft.replace(verb, state, _be(draft, verb))
        return state
    is_in = draft.word(end) in ("in", "at", "on") and draft.word(sign.word) == "remain"
    if sign.kind == STILL_THERE and (is_in or not _ends_here(draft, end)):
        return _still(draft, sign, verb)
    if _is_state(draft, sign, verb):  # "is enlarged but unchanged"
        return _attribute(draft, sign, end)
    going_on = end + 1 if draft.word(end) in ("and", ",") else end
    if draft.word(going_on) in _GOING_ON and going_on > end:
        draft.delete(verb, going_on)  # "has been placed and ends in the stomach"
        return going_on
    if draft.word(start) == "there":  # "there is a granuloma, is stable"
        return _cut(draft, verb, end)
    if not draft.terms(start, verb, "finding", "quality", *_DEVICES):
        if draft.word(end) == "with":  # "the heart is stable with a tortuous aorta"
            return _cut(draft, start, end + 1)
        return _drop(draft, start, _clause_end(draft, end))
    subject = _aspect_of(draft, start)
    draft.delete(start, subject)
    _there_is(draft, subject, verb, sign.kind == RESOLVED and not sign.denied)
    draft.delete(verb, end)
    return end


def _is_state(draft: Draft, sign: Sign, verb: int) -> bool:
    """Whether the predicate says more than the change: "is enlarged but unchanged"."""
    return bool(draft.terms(verb + 1, sign.word, "quality", "normal"))


def _ends_here(draft: Draft, place: int) -> bool:
    return draft.word(place) in (
        ".",
        ",",
        ";",
        "and",
        "but",
        "with",
        "in",
        "at",
        "on",
        "without",
        "(",
    )


def _still(draft: Draft, sign: Sign, verb: int) -> int:
    """Say "is" for "remains", and cut "again" and "still" beside a verb."""
    word = draft.word(sign.word)
    if word in ("remain", "remained", "continue", "persist"):
        end = sign.end + 2 if draft.word(sign.end) == "to" else sign.end
        if change._is_change(draft.word(sign.end)):
            return sign.end
        draft.replace(sign.word, end, _be(draft, sign.word))
        return end
    end = (
        sign.end - 1 if draft.word(sign.end - 1) in _SEEN and sign.end - 1 > sign.word else sign.end
    )
    if word == "redemonstrated":
        draft.replace(sign.word, sign.end, "seen")
        return sign.end
    draft.delete(sign.word, end)
    return sign.end


def _state_after(draft: Draft, place: int) -> int | None:
    """Return where the state begins that a predicate of change ends with: "and is now moderate"."""
    at, seen = place, False
    if draft.word(at) == "from" and "to" in (draft.word(at + 2), draft.word(at + 3)):
        at += 2 if draft.word(at + 2) == "to" else 3  # "from small to moderate"
    while draft.word(at) in ("and", ",", "but", "is", "are", "now", "currently", "to", "remain"):
        seen = True
        at += 1
    if not seen:
        return None
    following = at
    while draft.word(following) in _DEGREES or draft.word(following) in ("still", "within"):
        following += 1
    is_state = draft.word(following) in _STATES or any(
        t.start in (at, following) and t.kind in ("normal", "quality") for t in draft.found
    )
    said_now = any(draft.word(p) in ("now", "is", "are", "currently") for p in range(place, at))
    if draft.word(at) == "with":
        return None
    if (is_state and not _is_noun_phrase(draft, following)) or (said_now and draft.word(at) != "."):
        return at if not change._is_change(draft.word(at)) else None
    return None


def _is_noun_phrase(draft: Draft, place: int) -> bool:
    """Whether a finding or structure follows in the same phrase: "and mild edema"."""
    near = draft.terms(place, place + 6, "finding", "structure", *_DEVICES)
    return bool(near) and not any(
        draft.word(p) in (",", ".", ";", "and", "in", "at", "on", "with", "above", "below")
        for p in range(place, near[0].start)
    )


def _aspect_of(draft: Draft, start: int) -> int:
    """Return where the subject begins behind "the size of" or a leading adverb."""
    place = _skip(draft, start, _DETERMINERS)
    if draft.word(place) in ("overall", "otherwise"):
        place += 1
    while draft.word(place) in _ASPECTS and draft.word(place + 1) in ("of", "and"):
        place += 2
        place = (
            _skip(draft, place, frozenset(("the", "both")) & _DETERMINERS)
            if draft.word(place) in _ASPECTS
            else place
        )
    return place if draft.word(place - 1) == "of" else start


def _there_is(draft: Draft, start: int, end: int, denied: bool) -> None:
    """Put "there is", with the article that it needs, before the subject at tokens[start:end]."""
    first = _skip(draft, start, _DETERMINERS)
    kept = draft.word(start) in ("a", "an") and first == start + 1
    plural, article = _number(draft, first, end)
    verb = "There are" if plural else "There is"
    if denied:
        text = f"{verb} no "
    elif plural or not article:
        text = f"{verb} "
    else:
        text = f"{verb} {_article(draft, first)} "
    if kept and not denied:
        first, text = start, f"{verb} "
    if start == 0:  # also before a mask
        draft.edits.append((0, 0, text))
        draft.delete(start, first)
        draft.reworded = True
    else:
        draft.replace(start, first, _lower(text))
    _lower_first(draft, first, start)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _lower_first(draft: Draft, place: int, start: int) -> None:
    """Write the first word small where it began the sentence, but "ETT" and the like."""
    if place >= len(draft.tokens) or place != start:
        return
    token = draft.tokens[place]
    word = draft.text[token.start : token.end]
    if (len(word) == 1 or word[1:].islower()) and word.lower() not in (
        "swan",
        "dobhoff",
        "hickman",
    ):
        draft.edits.append((token.start, token.start + 1, word[0].lower()))


def _number(draft: Draft, start: int, end: int) -> tuple[bool, bool]:
    """Return whether the subject is a plural, and whether it can have "a"."""
    named = draft.terms(start, end, "finding", *_DEVICES) or draft.terms(start, end, "quality")
    if not named:
        return False, False
    last = draft.tokens[named[0].end - 1]
    text = draft.text[last.start : last.end].lower()
    is_plural = text != last.word and text.endswith(("s", "ae", "a", "i")) and len(text) > 3
    entry = named[0].entries[0]
    noun = entry.noun if isinstance(entry, Finding) and last.word not in _UNCOUNTED else "mass"
    noun = "count" if named[0].kind in _DEVICES else noun
    counted = noun == "count" and named[0].kind != "quality"
    return is_plural, counted and draft.word(start) not in ("no", "multiple", "several", "some")


def _article(draft: Draft, place: int) -> str:
    word = draft.text[draft.tokens[place].start :][:3] if place < len(draft.tokens) else ""
    if word.upper() == word and word[:1].isalpha() and len(word) > 2:  # "an ETT", "a PICC"
        return "an" if word[0] in "AEFHILMNORSX" else "a"
    return "an" if word[:1].lower() in "aeiou" else "a"


# --- frames: "interval increase in the effusion" -------------------------------------------------


def _frame(draft: Draft, sign: Sign, start: int, end: int) -> int:
    """Leave only the noun phrase after "there is no change in the size of" and the like."""
    if draft.word(end) in ("in", "of"):
        end += 1
    first = min(start, sign.start) if sign.denied else start
    has_there = draft.word(start) == "there"
    before = range(start, sign.start if sign.denied else sign.word)
    named = draft.terms(start, min(sign.start, sign.word), "finding", *_DEVICES)
    if named or any(draft.word(p) == "with" for p in before):
        return _behind_finding(draft, sign, end)
    clause = _clause_end(draft, end)
    if not draft.terms(end, clause, "finding", *_DEVICES) and not draft.terms(
        end, clause, "quality"
    ):
        return _drop(draft, start, clause)
    end = _past_aspects(draft, end)
    if sign.kind == RESOLVED and not sign.denied:
        after = _skip(draft, end, _DETERMINERS)
        plural, _ = _number(draft, after, clause)
        there = ("There are no" if plural else "There is no") if has_there else "No"
        draft.replace(first, after, (there if first == 0 else there.lower()) + " ")
        return after
    return _noun_phrase(draft, first, end, there=has_there)


def _behind_finding(draft: Draft, sign: Sign, end: int) -> int:
    """A frame behind a finding: "effusion with interval increase in atelectasis"."""
    start = _run_start(draft, sign)
    end = _past_aspects(draft, end)
    if sign.kind == RESOLVED and not sign.denied:
        draft.replace(start, _skip(draft, end, _DETERMINERS), "no ")
    else:
        draft.delete(start, _skip(draft, end, _DETERMINERS))
    return end


def _past_aspects(draft: Draft, place: int) -> int:
    after = _skip(draft, place, _DETERMINERS)
    while draft.word(after) in _ASPECTS or draft.word(after) in ("overall", "known"):
        after += 1
        if draft.word(after) in ("of", "and"):
            place = after + 1
            after = _skip(draft, place, _DETERMINERS)
    return place


def _noun_phrase(draft: Draft, start: int, end: int, *, there: bool) -> int:
    """Leave the noun phrase that begins at `end`: "There is ...", "... is present", or bare."""
    clause = _clause_end(draft, end)
    definite = draft.word(end) in _DETERMINERS
    if there or definite:
        after = _skip(draft, end, _DETERMINERS)
        kept = draft.word(end) in ("a", "an")
        plural, article = _number(draft, after, clause)
        verb = "There are" if plural else "There is"
        name = f"{_article(draft, after)} " if article and not plural and definite else ""
        text = f"{verb} " if kept else f"{verb} {name}"
        draft.replace(start, end if kept else after, text if start == 0 else _lower(text))
        return end
    draft.delete(start, end)
    return end


# --- events of devices ---------------------------------------------------------------------------


def _say_event(draft: Draft, event: Match) -> int:
    """Say that a device is there that was placed, and drop one that was removed."""
    start = _clause_start(draft, event.start)
    if draft.word(event.start - 1) not in ("interval", "been", "the", ".", ";", ",", "and", "with"):
        return -1
    clause = _clause_end(draft, event.end)
    if event.values[0] == "departures":
        if draft.terms(start, event.start, "finding", *_DEVICES):
            return -1
        with_word = next((p for p in range(event.end, clause) if draft.word(p) == "with"), clause)
        return _drop(draft, start, with_word + 1 if with_word < clause else clause)
    if draft.word(start) in ("interval", "there") or event.start == start:
        is_there = draft.word(start) == "there"
        if not is_there and draft.word(event.end) in ("a", "an"):
            draft.delete(start, event.end)
            _is_present(draft, event.end, clause)
            return event.end
        return _noun_phrase(draft, start, event.end, there=is_there)
    return -1


def _say_move(draft: Draft, place: int) -> int:
    """Say that a device is there that "has been advanced", and drop one that "has been removed"."""
    word = draft.word(place)
    if word not in _ARRIVED and word not in _DEPARTED:
        return -1
    start = _clause_start(draft, place)
    verb = next((p for p in (place - 2, place - 1) if draft.word(p) in ("has", "have", "was")), -1)
    if verb <= start or not draft.terms(start, verb, *_DEVICES):
        return -1
    if word in _DEPARTED:
        return _drop(draft, start, _clause_end(draft, place + 1))
    sign = Sign("worse", place, place + 1, place, denied=False, predicate=True)
    return _predicate(draft, sign, start, verb, place + 1)


def _is_present(draft: Draft, start: int, clause: int) -> None:
    """Close "a right chest tube" with "is present", before what is said of its place."""
    if any(draft.word(p) in _VERBS for p in range(start, clause)):
        return
    named = draft.terms(start, clause, *_DEVICES)
    if named and named[-1].end == clause:
        draft.replace(clause, clause, "")
        draft.edits.append(
            (draft.tokens[clause - 1].end, draft.tokens[clause - 1].end, " is present")
        )


# --- adverbs -------------------------------------------------------------------------------------


def _cut_adverbs(draft: Draft, done: int) -> None:
    """Cut "again", "now", "still" and "interval" where nothing else was edited."""
    covered = [(a, b) for a, b, _ in draft.edits]
    for place, token in enumerate(draft.tokens):
        if token.word not in _ALONE or any(a <= token.start < b for a, b in covered):
            continue
        if token.word == "previously" or (
            token.word == "interval" and draft.word(place + 1) == "between"
        ):
            continue
        draft.delete(place, place + 1)
