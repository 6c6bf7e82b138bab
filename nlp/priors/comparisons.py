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
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?(?:\s+\d{1,2}\b)?"
    r"(?:,?\s+\d{4})?"
)
_CLOCK = r"\d{1,2}:?\d\d(?:\s*(?:am|pm|a\.m\.|p\.m\.|hours|hrs|h\b))?"
_DAY = r"\d{1,4}[/-]\d{1,2}(?:[/-]\d{1,4})?|(?:19|20)\d\d"
_SPAN = (
    r"(?:\d+|one|two|three|several|a few)\s+(?:days?|weeks?|months?|years?|hours?)\s+"
    r"(?:ago|prior|earlier|before)"
)
_MOST = 4  # phrases of comparison that follow one another
_PRIOR = (
    r"(?:(?:the|a|an|his|her|most|multiple|several|is)\s+)*"
    r"(?:prior|previous|recent|earlier|old|older|preceding|remote|outside|comparison|last)\b"
)
_SIZE = r"\d+(?:\.\d+)?(?:\s*x\s*\d+(?:\.\d+)?)*\s*(?:mm|cm)"
_WAS = (  # "previously 6 mm"
    r"(?:(?:which|and|it)\s+)?(?:was\s+)?(?:previously|formerly|compared\s+(?:to|with)|versus)"
    rf"(?:\s+\w+ing|\s+measured)?(?:\s+(?:about|approximately))?\s+{_SIZE}"
    r"(?:\s+(?:previously|before))?"
)
_ADVICE = (  # "recommend comparison with older images, if available"
    r"(?:however,?\s+)?(?:recommend|suggest|advise)\w*\s+(?:direct\s+)?(?:comparison|correlation)"
    r"\s+(?:to|with)\s+(?:\w+\s+){0,3}(?=(?:prior|previous|older|outside|remote)\b)[^.;]*"
)


@functools.cache
def _study() -> tuple[str, str, str]:
    """Return the patterns of a date, of an older study, and of a word that stands for one."""
    adjective, noun = _any("study_adjectives"), _any("study_nouns")
    # the edges keep a long run of "_" from being read in many ways
    date = rf"(?<!\w)(?:{_MASK}|{_CLOCK}|{_DAY}|{_MONTH}|{_SPAN}|yesterday|today|earlier)(?!\w)"
    joint = r"(?:of|from|dated|on|performed|obtained|at|done|taken|and|through)"
    dated = rf"(?:,?\s*(?:{joint}\s+)*{date})+"
    study = rf"(?:(?:{adjective}|{date})[\s,]+)*\b(?:{noun})\b(?:\s+(?:{noun})\b)*(?:{dated})?"
    closes = rf"(?=\s*(?:[.,;:)]|$)|\s+(?:{_any('after_study')})\b)"  # not "prior sternotomy"
    alone = rf"(?:{_any('study_alone')})\b(?:{dated})?{closes}"
    return date + f"(?:{dated})?", study, alone


@functools.cache
def _phrase() -> str:
    """Return the pattern of a phrase of comparison."""
    date, study, alone = _study()
    older = rf"(?:{study}|{alone}|{date})"
    opened = rf"(?:{_any('openers')})\s+(?:{older}(?:\s+(?:and|or)(?:\s+of)?\s+(?={older}))?)+"
    seen = rf"(?:was|were|is|are)?\s*not\s+(?:previously\s+)?(?:{_any('seen')})"
    not_then = rf"(?:(?:which|that)\s+)?{seen}\s+(?:previously|before)\b"
    hardly = rf"(?:does|do|did)\s+not\s+(?:appear|seem)\s+to\s+be\s+(?:{_any('seen')})"
    then = rf"(?:(?:was|were)\s+)?also\s+(?:{_any('seen')})"
    shown = rf"(?:(?:which|that)\s+(?:\w+ly\s+)?)?(?:{seen}|{hardly}|{then})\s+(?:on|in|at)"
    before = rf"(?:{_any('weak_openers')}|{shown})"
    weak = rf"{before}\s+(?={_PRIOR})(?:{study}|{alone})"
    return (
        rf"(?:{opened}|{not_then}|{_WAS}|{_ADVICE}|{_lacking(study)}|{weak}|{_any('adverbials')})"
    )


def _lacking(study: str) -> str:
    """Return the pattern of "no prior studies are available for comparison"."""
    start = r"(?:with|as|given|since)?\s*(?:there\s+(?:are|is)\s+)?no\s+"
    is_older = r"(?=(?:recent|prior|previous|older|comparison|available)\b)"
    end = r"(?:\s+(?:are|is))?(?:\s+currently)?(?:\s+available)?"
    end += r"(?:\s+for\s+(?:direct\s+)?comparison)?"
    return f"{start}{is_older}{study}{end}"


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a phrase of comparison: at the start, elsewhere, "from" a date."""
    phrase, date = _phrase(), _study()[0]
    changed = (
        r"unchanged|changed?|stable|increased?|decreased?|improved|worsened|larger|smaller|similar"
        r"|worse|better|new"
    )
    return (
        re.compile(rf"^\s*{phrase}(?:\s*[,:]\s*|\s*(?=[.;]|$)|\s+)", re.IGNORECASE),
        re.compile(rf"\s*[,(]?\s*(?<!\w){phrase}(?!\w)\s*\)?", re.IGNORECASE),
        re.compile(rf"\b({changed})\s+(?:from|to)\s+{date}", re.IGNORECASE),
    )


@functools.cache
def words() -> frozenset[str]:
    """Return words of which a sentence has at least one where it compares."""
    return frozenset(t.word for w in lexicon.load("priors")["comparing"] for t in tokenize(w))


@functools.cache
def vocabulary() -> frozenset[str]:
    """Return the words that phrases of comparison are made of."""
    groups = ("openers", "study_adjectives", "study_nouns", "study_alone", "adverbials")
    phrases = (phrase for group in groups for phrase in lexicon.load("priors")[group])
    return frozenset(token.word for phrase in phrases for token in tokenize(phrase))


def _any(group: str) -> str:
    return lexicon.pattern("priors", group).replace(r"\ ", r"\s+")


def cut(text: str) -> str:
    """Return the text without its phrases of comparison."""
    first, later, dated = _patterns()
    for _ in range(_MOST):
        shorter = later.sub(_kept_mark, dated.sub(r"\1", first.sub("", text)))
        if shorter == text:
            break
        text = shorter
    return text


def _kept_mark(found: re.Match[str]) -> str:
    """Return what stays where a phrase is cut: nothing; the words around it close up."""
    following = found.string[found.end() : found.end() + 1]
    return "" if not following or not following.isalnum() else " "
