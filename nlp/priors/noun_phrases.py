"""Says that the thing a noun phrase names is there: "There is a small effusion"."""

from __future__ import annotations

from cxr_vlp.nlp.findings.terms import Finding
from cxr_vlp.nlp.priors.draft import DETERMINERS, DEVICES, VERBS, Draft, clause_end, skip, words

_UNCOUNTED = words("uncounted")


def noun_phrase(draft: Draft, start: int, end: int, *, there: bool) -> int:
    """Leave the noun phrase that begins at `end`: "There is ...", "... is present", or bare."""
    clause = clause_end(draft, end)
    definite = draft.word(end) in DETERMINERS
    if there or definite:
        after = skip(draft, end, DETERMINERS)
        kept = draft.word(end) in ("a", "an")
        plural, article = number(draft, after, clause)
        verb = "There are" if plural else "There is"
        name = f"{_article(draft, after)} " if article and not plural and definite else ""
        text = f"{verb} " if kept else f"{verb} {name}"
        draft.replace(start, end if kept else after, text if start == 0 else _lower(text))
        return end
    draft.delete(start, end)
    return end


def there_is(draft: Draft, start: int, end: int, denied: bool) -> None:
    """Put "there is", with the article that it needs, before the subject at tokens[start:end]."""
    first = skip(draft, start, DETERMINERS)
    kept = draft.word(start) in ("a", "an") and first == start + 1
    plural, article = number(draft, first, end)
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


def is_present(draft: Draft, start: int, clause: int) -> None:
    """Close "a right chest tube" with "is present", before what is said of its place."""
    if any(draft.word(p) in VERBS for p in range(start, clause)):
        return
    named = draft.terms(start, clause, *DEVICES)
    if named and named[-1].end == clause:
        draft.replace(clause, clause, "")
        draft.edits.append(
            (draft.tokens[clause - 1].end, draft.tokens[clause - 1].end, " is present")
        )


def number(draft: Draft, start: int, end: int) -> tuple[bool, bool]:
    """Return whether the subject is a plural, and whether it can have "a"."""
    named = draft.terms(start, end, "finding", *DEVICES) or draft.terms(start, end, "quality")
    if not named:
        return False, False
    last = draft.tokens[named[0].end - 1]
    text = draft.text[last.start : last.end].lower()
    is_plural = text != last.word and text.endswith(("s", "ae", "a", "i")) and len(text) > 3
    entry = named[0].entries[0]
    noun = entry.noun if isinstance(entry, Finding) and last.word not in _UNCOUNTED else "mass"
    noun = "count" if named[0].kind in DEVICES else noun
    counted = noun == "count" and named[0].kind != "quality"
    return is_plural, counted and draft.word(start) not in ("no", "multiple", "several", "some")


def _article(draft: Draft, place: int) -> str:
    word = draft.text[draft.tokens[place].start :][:3] if place < len(draft.tokens) else ""
    if word.upper() == word and word[:1].isalpha() and len(word) > 2:  # "an ETT", "a PICC"
        return "an" if word[0] in "AEFHILMNORSX" else "a"
    return "an" if word[:1].lower() in "aeiou" else "a"


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
