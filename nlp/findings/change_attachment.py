"""Decides of which finding a word of change is said, and which change it is.

An attribute is said of what follows it, a predicate of what stands before it. The findings of a
list share it, and so do those after a heading ("No change: effusion, atelectasis") and those named
with the whole image ("Stable chest with cardiomegaly"). Denied, "increased" means stable; so it
does whatever the verdict on the finding is.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.nlp.context.scope import ABSENT, Scopes, Verdict
from cxr_vlp.nlp.findings.change import (
    ADVERBS,
    BETWEEN,
    CHANGED,
    COMPARED,
    COPULAS,
    DENIERS,
    FORWARD_STOPS,
    LEFT_OVER,
    REACH,
    RELATIVE,
    RELATIVE_WORDS,
    STILL_THERE,
    STOPS,
    TRAILING,
    UNSAID,
    Change,
    Sign,
    is_change,
    may_tell,
    plain_words,
)
from cxr_vlp.nlp.findings.change_sizes import by_measures
from cxr_vlp.nlp.findings.change_times import (
    ABSENCE,
    MORE_OR_LESS,
    UP_OR_DOWN,
    all_signs,
    refers_back,
)
from cxr_vlp.nlp.findings.mention import BETTER, NEW, RESOLVED, STABLE, WORSE
from cxr_vlp.nlp.findings.phrases import tags
from cxr_vlp.nlp.findings.terms import Finding, Term
from cxr_vlp.nlp.match.tokens import Token

_HEADS = ("finding", "structure", "support", "hardware")
_WHOLLY, _PARTLY, _JOINTS, _PREPOSITIONS = (
    plain_words(g) for g in ("wholly", "partly", "joints", "prepositions")
)
_HEDGES, _SYMPTOMS, _FORMER = (plain_words(g) for g in ("hedges", "symptoms", "former"))
_WHOLES, _QUANTIFIERS = plain_words("wholes"), plain_words("quantifiers")
_GONE = frozenset(
    ("cleared", "clearing", "resolved", "resolution", "gone", "disappeared", "vanished", "drained",
     "reabsorbed", "resorbed", "reexpanded", "expanded", "reexpansion", "expansion")
)  # fmt: skip
# "seen on the prior": said of a denied finding, it has gone
_EARLIER = plain_words("times")
# may stand between a subject and its predicate: "effusion, which has increased"
_LEADING = frozenset(
    (",", ":", "(", "-", "but", "and", "which", "that", "with", "although", "though")
)
_INVERTED = frozenset(("from", "since", "compared", "than", "to", "as", "relative"))
_BACK = frozenset(("again", "recurred", "back"))
_BESIDE = frozenset((*MORE_OR_LESS, "now", "further"))
_ASKING = plain_words("asking")
_RELATIVES = frozenset(("which", "that"))
_ARTICLES = frozenset(("a", "an", "the", "also"))


def change_of(scopes: Scopes, found: tuple[Term, ...], term: Term, verdict: Verdict) -> Change:
    """Return the change that is said of the finding at `term`."""
    tokens = scopes.tokens
    if not may_tell(scopes.vocabulary):
        return by_measures(scopes, found, term) or UNSAID
    best, best_rank, had_gone = UNSAID, (-1, False, False, 0), False
    for sign in all_signs(tokens):
        if covers(tokens, sign, found, term) or not _is_said_of(tokens, found, sign, term):
            continue
        if _is_asked(tokens, sign):
            continue
        kind = kind_of(tokens, sign, term, verdict)
        rank = _rank(tokens, sign, kind, term)
        had_gone = had_gone or (kind == RESOLVED and not rank[0])
        if kind and rank > best_rank:
            best, best_rank = Change(kind, scopes.words(sign.start, sign.end)), rank
    if had_gone and best.kind in (STABLE, RESOLVED):
        return _back(scopes, best)
    if not best.kind or (best.kind == STABLE and best_rank[0] == 1):
        return _gone(scopes, term, verdict) or by_measures(scopes, found, term) or best
    return best


def _rank(
    tokens: Sequence[Token], sign: Sign, kind: str, term: Term
) -> tuple[int, bool, bool, int]:
    """Return how much a sign outweighs others of the same finding."""
    weight = 1 if sign.kind in (STILL_THERE, LEFT_OVER) and kind == STABLE else 2
    if _is_past(tokens, sign):
        weight = 0
    distance = max(sign.word - term.end, term.start - sign.end)
    return weight, sign.predicate, kind != STABLE, -distance


def _is_past(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether the change was before the last image: "which had cleared"."""
    place = sign.word - 1
    while place >= 0 and (tokens[place].word in ADVERBS or tokens[place].word == "been"):
        place -= 1
    return place >= 0 and tokens[place].word == "had"


def _back(scopes: Scopes, best: Change) -> Change:
    """Return "new" for what had gone and is there again."""
    again = [i for i, t in enumerate(scopes.tokens) if t.word in _BACK]
    return Change(NEW, scopes.words(again[0], again[0] + 1)) if again else best


def _is_asked(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether a change is only asked for: "to document resolution", "unknown whether new"."""
    if any(token.word == "whether" for token in tokens[: sign.word]):
        return True
    return sign.kind in (RESOLVED, BETTER, STABLE) and any(
        token.word in _ASKING for token in tokens[max(0, sign.word - 4) : sign.word]
    )


def _gone(scopes: Scopes, term: Term, verdict: Verdict) -> Change | None:
    """Return "resolved" for a denied finding that was there: "the prior effusion is not seen"."""
    if verdict.assertion != ABSENT:
        return None
    tokens = scopes.tokens
    if verdict.trigger.lower().startswith("no longer"):
        return Change(RESOLVED, verdict.trigger)
    known = tags(tokens)
    place = term.start - 1
    while place >= 0 and (place in known or tokens[place].word in ADVERBS):
        place -= 1
    if place >= 0 and tokens[place].word in _FORMER:
        return Change(RESOLVED, scopes.words(place, place + 1))
    at = term.end
    while at < len(tokens) and at in known and tokens[at].word not in ("in", "on", "at"):
        at += 1
    end = refers_back([token.word for token in tokens], at)
    is_noun_phrase = end and any(t.word in COPULAS for t in tokens[end : end + REACH])
    return Change(RESOLVED, scopes.words(at, end)) if is_noun_phrase else None


def covers(tokens: Sequence[Token], sign: Sign, found: tuple[Term, ...], term: Term) -> bool:
    """Whether the word of change is part of a finding's name ("decreased lung volume")."""
    if term.kind == "quality" and sign.word < term.start < term.end <= sign.end:
        # "have become more prominent", not "more prominent on the right"
        is_grown = any(token.word in ("become", "became") for token in tokens[: sign.word])
        return not (is_grown or any(token.word in COMPARED for token in tokens[sign.end :]))
    return any(
        t.start < sign.end and t.end > sign.word and (t == term or t.kind == "finding")
        for t in found
    )


def _is_said_of(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    if term.start >= sign.end and (
        _is_heading(tokens, found, sign, term) or _is_of_whole(tokens, sign, term)
    ):
        return True
    if sign.word < term.start < term.end <= sign.end:
        return True  # "markings have become more prominent"
    if sign.predicate and term.end <= sign.word:
        if tokens[sign.word].word in UP_OR_DOWN and sign.end == sign.word + 1:
            return sign.word - term.end <= 1  # "effusion up"
        if _is_of_all(tokens, sign, term):
            return True
        return sign.word - term.end <= REACH and _reaches_back(tokens, found, sign, term)
    if sign.kind == STILL_THERE and _follows(tokens, sign, term):  # "is again mildly enlarged"
        return True
    if tokens[sign.word].word in _BESIDE and sign.end == sign.word + 1:
        return _stands_beside(tokens, sign, term)
    if term.start >= sign.end and not (sign.predicate and _has_subject(tokens, found, sign)):
        return term.start - sign.end <= REACH and _reaches_on(tokens, found, sign, term)
    return False


def _stands_beside(tokens: Sequence[Token], sign: Sign, term: Term) -> bool:
    """Whether "more", "less" or "is now" stands before the finding: "less pleural fluid"."""
    if term.start < sign.end or sign.predicate:
        return False
    known = {} if tokens[sign.word].word == "now" else tags(tuple(tokens))
    skipped = ADVERBS | _ARTICLES
    return all(i in known or tokens[i].word in skipped for i in range(sign.end, term.start))


def _is_heading(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    """Whether the word is a heading of the finding: "No change since May: effusion, edema"."""
    colon = next((i for i in range(sign.end, term.start) if tokens[i].word == ":"), None)
    if colon is None or colon - sign.end > REACH:
        return False
    floor = max((i for i in range(sign.start) if tokens[i].word in STOPS), default=-1)
    named = [t for t in found if t.kind in _HEADS and floor < t.start < colon]
    if any(tokens[t.start].word not in _WHOLES for t in named):
        return False  # "effusion unchanged: ..."
    is_same = sign.kind in (STABLE, STILL_THERE) or sign.denied
    first = tokens[sign.end].word
    is_list = tokens[colon - 1].word in ("following", "finding")
    if not (first == ":" or first in _INVERTED or is_list or (first in _WHOLES and is_same)):
        return False  # "Stable angina: ...", "New baseline study: ..."
    between = (*tokens[sign.end : colon], *tokens[colon + 1 : term.start])
    return not any(token.word in STOPS for token in between)


def _is_of_whole(tokens: Sequence[Token], sign: Sign, term: Term) -> bool:
    """Whether the whole image is the same, "with" the finding: "Stable chest with effusions"."""
    if sign.kind not in (STABLE, CHANGED) or not (sign.kind == STABLE or sign.denied):
        return False
    joint = next((i for i in range(sign.end, term.start) if tokens[i].word == "with"), None)
    if joint is None:
        return False
    phrase = [*tokens[: sign.start], *tokens[sign.end : joint]]
    skipped = COPULAS | ADVERBS | {"the", "of", ",", "in", "there"}
    if not all(t.word in _WHOLES or t.word in skipped for t in phrase):
        return False
    if not any(t.word in _WHOLES for t in phrase):
        return False
    between = tokens[joint + 1 : term.start]
    return not any(t.word in STOPS or t.word in COPULAS for t in between) and not _has_other_sign(
        tokens, joint, term.start
    )


def _is_of_all(tokens: Sequence[Token], sign: Sign, term: Term) -> bool:
    """Whether a predicate is said of all findings before it: "A, B and C, none of which is new"."""
    place = sign.start
    if tokens[place].word not in _QUANTIFIERS:
        place = sign.word - 1
        while place > 0 and tokens[place].word in COPULAS | ADVERBS | {"of", "which", "them"}:
            if tokens[place].word in _QUANTIFIERS:
                break
            place -= 1
    if place < 1 or tokens[place].word not in _QUANTIFIERS or tokens[place - 1].word not in ",(-":
        return False
    return not any(t.word in STOPS for t in tokens[term.end : place]) and not _has_other_sign(
        tokens, term.end, place
    )


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
    if (
        following in _INVERTED
        and sign.word == sign.start == 0
        and any(token.word in ("is", "are") for token in tokens[sign.end :])
    ):
        return False
    floor = max((i for i in range(sign.word) if tokens[i].word in STOPS), default=-1)
    if any(t.kind in (*_HEADS, "quality") and floor < t.start < sign.word for t in found):
        return True
    return following in TRAILING


def _reaches_on(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    """Whether the word is said of a finding that follows it, perhaps with others in a list."""
    words = [token.word for token in tokens[sign.end : term.start]]
    if not _SYMPTOMS.isdisjoint(words):  # "worsening cough, left effusion"
        return False
    if words and words[0] in ("is", "are", ":"):  # "Again seen is", "Unchanged: "
        words = words[1:]
    elif words and words[0] in _INVERTED and sign.word == sign.start == 0:
        verb = next((i for i, w in enumerate(words) if w in ("is", "are")), None)
        named = any(sign.end <= t.start < term.start for t in found if t.kind == "finding")
        if verb is not None and not named:  # "Unchanged from the prior film is a small effusion"
            words = words[verb + 1 :]
    if any(w in STOPS or w in FORWARD_STOPS or w in COPULAS for w in words):
        return False
    passed = [t for t in found if sign.end <= t.start and t.end <= term.start]
    first = next((t for t in passed if t.kind == "finding"), None)
    others = [t for t in passed if t.kind in ("structure", "support", "hardware")]
    for place in range(sign.end, term.start):
        if tokens[place].word not in _JOINTS:
            continue
        if first is not None and first.end <= place:
            if tokens[place].word == "," and not _closes_list(tokens, first.end, place):
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


def _closes_list(tokens: Sequence[Token], floor: int, place: int) -> bool:
    """Whether the comma at `place` is in a list that a later "and" closes before a verb.

    A comma before "and" is none where it is the only one: "stable edema, and a nodule".
    """
    if tokens[place + 1].word in ("and", "or"):
        return any(token.word == "," for token in tokens[floor:place])
    for token in tokens[place + 1 : place + REACH]:
        if token.word in ("and", "or"):
            return True
        if token.word in STOPS or token.word in COPULAS or token.word in FORWARD_STOPS:
            return False
    return False


def _has_other_sign(tokens: Sequence[Token], start: int, end: int) -> bool:
    return any(start <= s.word < end for s in all_signs(tuple(tokens)))


def _reaches_back(tokens: Sequence[Token], found: tuple[Term, ...], sign: Sign, term: Term) -> bool:
    """Whether the predicate is said of a finding before it, perhaps with others in a list."""
    end, has_verb = _subject_end(tokens, sign, term.end)
    words = [token.word for token in tokens[term.end : end]]
    verbs = sum(w in COPULAS for w in words)
    others = [t for t in found if t.kind in _HEADS and term.end <= t.start and t.end <= end]
    if any(w in STOPS for w in words):
        return False
    # "has been present for years and has not changed", "which had improved, is worse"
    is_own = term.kind == "quality"
    strangers = [
        t
        for t in others
        if not _is_place(tokens, t.start, term.end)
        and not (is_own and t.kind == "structure" and t.start - term.end <= 1)
    ]
    is_same_subject = not strangers and (
        tokens[end - 1].word in ("and", "but", ",") or not _RELATIVES.isdisjoint(words[:2])
    )
    if (verbs > 1 or (has_verb and verbs)) and not is_same_subject:
        return False
    joints = [i for i in range(term.end, end) if tokens[i].word in _JOINTS]
    for other in others:
        if other not in strangers:
            continue  # "dilated arteries have become larger", "opacity at the base is larger"
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
    skipped = ADVERBS | DENIERS | BETWEEN | _LEADING
    while place > floor:
        word = tokens[place - 1].word
        if word in COPULAS:
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
        if word in _JOINTS or word in STOPS or word in COPULAS:
            return False
    return False


def kind_of(tokens: Sequence[Token], sign: Sign, term: Term, verdict: Verdict) -> str:
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
    if kind == RESOLVED and (_is_alternative(tokens, sign) or _is_unfinished(tokens, sign)):
        return BETTER
    if kind == BETTER and _is_whole(tokens, sign):
        return RESOLVED
    if kind == NEW and tokens[sign.word].word in ABSENCE:  # "not seen previously"
        return NEW
    if verdict.assertion == ABSENT and kind != RESOLVED and not _is_partly_gone(tokens, sign):
        return ""
    return kind


def _is_alternative(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether the word only may hold: "improvement/resolution of the opacity"."""
    beside = (*tokens[max(0, sign.word - 1) : sign.word], *tokens[sign.end : sign.end + 1])
    return any(token.word in ("/", "or") for token in beside) and any(
        s.kind == BETTER for s in all_signs(tuple(tokens))
    )


def _is_unfinished(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether what clears is not gone yet: "resolution is nearly complete", "on its way to"."""
    if any(token.word == "way" for token in tokens[max(0, sign.word - 2) : sign.word]):
        return True
    copula = next((i for i in range(sign.end, len(tokens)) if tokens[i].word in COPULAS), None)
    if tokens[sign.word].word not in ("clearing", "resolution") or copula is None:
        return False
    return any(token.word in _PARTLY for token in tokens[copula : copula + REACH])


def _is_whole(tokens: Sequence[Token], sign: Sign) -> bool:
    """Whether "clearing" is complete: "now with full radiographic clearing"."""
    before = {token.word for token in tokens[max(0, sign.word - REACH) : sign.word]}
    return tokens[sign.word].word == "clearing" and bool(before & _WHOLLY) and not before & _PARTLY


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
        is_named = "increased" in words and not sign.predicate  # "no increased markings"
        return "" if "new" in words or is_named else STABLE
    if kind == STILL_THERE and tokens[sign.end - 1].word in _EARLIER:  # "not present on the prior"
        return NEW if tokens[sign.start].word in ABSENCE and sign.predicate else ""
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
