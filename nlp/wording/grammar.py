"""Builds English noun phrases: number, articles, lists, and words of severity that fit the noun."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from cxr_vlp.nlp import lexicon

COUNT, MASS, PLURAL = "count", "mass", "plural"  # the kinds of nouns
_AN = re.compile(r"(?:[aeio]|u(?!ni)|8|11\b|18\b)", re.IGNORECASE)
_HALVES = " to "  # "mild to moderate"


def plural(name: str) -> str:
    """Return the plural of a noun phrase; the noun is its last word.

    >>> plural("calcified granuloma"), plural("opacity"), plural("mass")
    ('calcified granulomas', 'opacities', 'masses')
    """
    if name.endswith("thorax"):
        return name[: -len("ax")] + "aces"
    if name.endswith("is"):
        return name[:-2] + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def with_article(phrase: str) -> str:
    """Return the phrase with "a" or "an", by the sound of its first word.

    >>> with_article("8 mm nodule"), with_article("unilateral effusion")
    ('an 8 mm nodule', 'a unilateral effusion')
    """
    return f"{'an' if _AN.match(phrase) else 'a'} {phrase}"


def joined(parts: Sequence[str], word: str = "and") -> str:
    """Return the parts as a list of English: "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


@functools.lru_cache(maxsize=4096)
def fitted(severity: str, finding: str, kind: str, of_adjective: bool = False) -> str:
    """Return a severity in the words that its noun takes: "large" cardiomegaly is "severe".

    `finding` is the lexicon's name, `kind` the kind of its noun. `of_adjective`: it grades an
    adjective, as in "minimally displaced".
    """
    scale = _scales().get(finding) or ("object" if kind == COUNT else "degree")
    words = lexicon.load("statements")["scales"]["adverb" if of_adjective else scale]
    halves = [words.get(half, half) for half in severity.split(_HALVES)]
    return _HALVES.join(dict.fromkeys(halves))


def begins_with_adjective(finding: str) -> bool:
    """Whether the name is graded by an adverb: "mildly tortuous aorta"."""
    return _scales().get(finding) == "adverb"


@functools.cache
def _scales() -> dict[str, str]:
    rows = lexicon.load("statements")["scale_of"]
    return {finding: scale for scale, findings in rows.items() for finding in findings}
