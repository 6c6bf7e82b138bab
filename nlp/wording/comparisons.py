"""Leaves out what compares an image with an older one: "compared to the study of ___".

Such a phrase opens with a word of comparison and names an older study, which may have a date or a
mask in place of one. The words are in lexicon/en/priors.yaml.
"""

from __future__ import annotations

import functools
import re

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import tokenize

_MASK = r"_{2,}|X{3,}|\[\*\*.{0,40}?\*\*\]"
_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?(?:\s+\d{1,2}\b)?(?:,?\s+\d{4})?"
)
_CLOCK = r"\d{1,2}:?\d\d(?:\s*(?:am|pm|a\.m\.|p\.m\.|hours|hrs|h\b))?"
_DAY = r"\d{1,4}[/-]\d{1,2}(?:[/-]\d{1,4})?|(?:19|20)\d\d"
_SPAN = r"(?:\d+|one|two|three|several|a few)\s+(?:days?|weeks?|months?|years?|hours?)\s+(?:ago|prior|earlier|before)"


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a phrase of comparison: at the start, elsewhere, without a study."""
    adjective, noun = _any("study_adjectives"), _any("study_nouns")
    date = rf"(?:{_MASK}|{_CLOCK}|{_DAY}|{_MONTH}|{_SPAN}|yesterday|today|earlier)"
    dated = rf"(?:,?\s*(?:(?:of|from|dated|on|performed|obtained|at|done|taken|and|through)\s+)*{date})+"
    study = rf"(?:(?:{adjective}|{date})[\s,]+)*\b(?:{noun})\b(?:\s+(?:{noun})\b)*(?:{dated})?"
    closes = rf"(?=\s*(?:[.,;:)]|$)|\s+(?:{_any('after_study')})\b)"  # not "prior sternotomy"
    alone = rf"(?:{_any('study_alone')})\b(?:{dated})?{closes}"
    older = rf"(?:{study}|{alone}|{date}(?:{dated})?)"
    several = rf"{older}(?:\s+(?:and|or)(?:\s+of)?\s+{older})*"
    prior = r"(?:(?:the|a|an|his|her|most|multiple|several|is)\s+)*(?:prior|previous|recent|earlier|old|older|preceding|remote|outside|comparison|last)\b"
    opened = rf"(?:{_any('openers')})\s+{several}"
    weak = rf"(?:{_any('weak_openers')})\s+(?={prior})(?:{study}|{alone})"
    not_then = rf"(?:(?:which|that)\s+)?(?:(?:was|were|is|are)\s+)?not\s+(?:previously\s+)?(?:{_any('seen')})(?:\s+(?:previously|before)\b|\s+(?:on|in|at)\s+(?={prior})(?:{study}|{alone}))"
    lacking = rf"(?:with|as|given|since)?\s*(?:there\s+(?:are|is)\s+)?no\s+(?=(?:recent|prior|previous|older|comparison|available)\b){study}(?:\s+(?:are|is|was|were))?(?:\s+currently)?(?:\s+available)?(?:\s+for\s+(?:direct\s+)?comparison)?"
    size = r"\d+(?:\.\d+)?(?:\s*x\s*\d+(?:\.\d+)?)*\s*(?:mm|cm)"
    was = rf"(?:(?:which|and|it)\s+)?(?:was\s+)?(?:previously|formerly|compared\s+(?:to|with)|versus)(?:\s+\w+ing|\s+measured)?(?:\s+(?:about|approximately))?\s+{size}(?:\s+(?:previously|before))?"
    advice = rf"(?:however,?\s+)?(?:recommend|suggest|advise)\w*\s+(?:direct\s+)?(?:comparison|correlation)\s+(?:to|with)\s+(?:\w+\s+){{0,3}}(?=(?:prior|previous|older|outside|remote)\b)[^.;]*"
    phrase = rf"(?:{opened}|{not_then}|{was}|{advice}|{lacking}|{weak}|{_any('adverbials')})"
    chain = rf"{phrase}(?:,?\s+(?:and\s+)?{phrase})*"
    flags = re.IGNORECASE
    return (
        re.compile(rf"^\s*{chain}(?:\s*[,:]\s*|\s+(?=there|the)|\s*(?=[.;]|$)|\s+)", flags),
        re.compile(rf"\s*[,(]?\s*(?<!\w){chain}(?!\w)\s*\)?", flags),
        re.compile(
            rf"\b(unchanged|changed?|stable|increased?|decreased?|improved|worsened|larger|smaller|similar|worse|better|new)\s+(?:from|to)\s+{date}(?:{dated})?",
            flags,
        ),
    )


@functools.cache
def words() -> frozenset[str]:
    """Return words of which a sentence has at least one where it compares."""
    return frozenset(t.word for w in lexicon.load("priors")["comparing"] for t in tokenize(w))


def _any(group: str) -> str:
    return lexicon.pattern("priors", group).replace(r"\ ", r"\s+")


def cut(text: str) -> str:
    """Return the text without its phrases of comparison."""
    first, later, dated = _patterns()
    text = first.sub("", text)
    text = dated.sub(lambda found: found[1], text)
    return later.sub(_kept_mark, text)


def _kept_mark(found: re.Match[str]) -> str:
    """Return what stays where a phrase is cut: nothing; the words around it close up."""
    following = found.string[found.end() : found.end() + 1]
    return "" if not following or not following.isalnum() else " "
