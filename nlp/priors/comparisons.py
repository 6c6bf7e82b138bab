"""Leaves out what compares an image with an older one: "compared to the study of ___".

Such a phrase opens with a word of comparison and names an older study, which may have a date or a
mask in place of one. The words are in lexicon/en/priors.yaml.
"""

from __future__ import annotations

import functools
import re

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.priors.leftovers import is_advice

_MASK = r"_{2,}|X{3,}|\[\*\*.{0,40}?\*\*\]"
_MONTH = (
    r"(?:\d{1,2}(?:st|nd|rd|th)?\s+)?"
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|(?<=\d\s)may|may(?=\s+\d)|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
    r"(?:\s+\d{1,2}(?:st|nd|rd|th)?\b)?(?:,?\s+\d{4})?"
)
_LAST = (
    r"(?:(?:last|this past|previous)\s+(?:night|evening|week|month|year|spring|summer|autumn|fall"
    r"|winter|monday|tuesday|wednesday|thursday|friday|saturday|sunday)|tonight|overnight"
    r"|this\s+(?:morning|afternoon|evening)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day(?:\s+(?:morning|evening|night))?)"
)
_CLOCK = (
    r"\d{1,2}:?\d\d(?:\s*(?:am|pm|a\.m\.|p\.m\.|hours|hrs|h\b))?"
    r"|\d{1,2}\s*[ap]\.?m\b\.?"
)
_DAY = r"\d{1,4}[/-]\d{1,2}(?:[/-]\d{1,4})?|(?:19|20)\d\d"
_COUNT = (
    r"(?:\d+|one|two|three|four|five|six|several|many|an?|a few|a couple of|the (?:last|past)"
    r"(?: \w+)?)"
)
_UNIT = r"(?:minutes?|hours?|days?|weeks?|months?|years?|decades?)"
_SPAN = rf"{_COUNT}\s+{_UNIT}\s+(?:ago|prior|earlier|before|previously|back)"
_AGE = r"\d+\s+(?:minutes|hours|days|weeks)\s+of\s+(?:age|life)"
_WHILE = (  # "for over two years"
    rf"(?:(?:for|over)\s+(?:(?:over|about|at least|more than|approximately)\s+)?{_COUNT}"
    rf"|(?:in|during|within)\s+the\s+(?:last|past)(?:\s+\w+)?)\s+{_UNIT}(?!\s+(?:\w+ed|time))"
)
_PAST = re.compile(r"\b(?:post|s/p|after|following)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_MOST = 4  # phrases of comparison that follow one another
_PRIOR = (
    r"(?:(?:the|a|an|his|her|most|multiple|several|is)\s+)*"
    r"(?:prior|previous|recent|earlier|old|older|preceding|remote|outside|comparison|last)\b"
)
_SIZE = r"\d+(?:\.\d+)?(?:\s*x\s*\d+(?:\.\d+)?)*\s*(?:mm|cm)"
_NUMBER = rf"(?:{_SIZE}|\d*\.\d+|\d+(?:\.\d+)?\s*%)"
_WAS = (  # "previously 6 mm", "up from 4.8 cm"
    r"(?:(?:which|and|it)\s+)?(?:was\s+)?"
    r"(?:previously|formerly|compared\s+(?:to|with)|versus|(?:up|down)\s+from)"
    rf"(?:\s+\w+ing|\s+measured)?(?:\s+(?:about|approximately))?\s+{_NUMBER}"
    r"(?:\s+(?:previously|before))?"
    rf"|from\s+{_SIZE}(?=\s*(?:[.,;)]|$))"
)
_NOT_HERE = (  # "previously absent"
    r"(?:(?:which|that)\s+(?:was|were)\s+)?previously\s+(?:absent|clear|normal|well aerated)"
)
_ADVICE = (  # "recommend comparison with older images, if available"
    r"(?:however,?\s+)?(?:recommend|suggest|advise)\w*\s+(?:direct\s+)?(?:comparison|correlation)"
    r"\s+(?:to|with)\s+(?:\w+\s+){0,3}(?=(?:prior|previous|older|outside|remote)\b)[^.;]*"
)
_AS_BEFORE = (  # "without significant change"; a comparison with the other lung stays
    r"(?:(?:without|with\s+no)\s+(?:\w+\s+){0,3}?"
    r"(?:change|progression|worsening|improvement|increase)"
    r"(?:\s+in\s+(?:the\s+)?(?:interval|interim|size|extent|appearance))?(?!\s+(?:in|of))"
    r"|(?:in|by)\s+comparison(?!\s+(?:to|with)))"
)
_STEPS = (
    r"removal|placement|insertion|extubation|intubation|procedure|thoracentesis|paracentesis"
    r"|surfactant|diuresis|treatment|therapy|drainage|advancement|repositioning|withdrawal|biopsy"
    r"|bronchoscopy|pull|clamping|chemotherapy|antibiotics|suctioning|retraction|exchange"
)
_AFTER = (  # "following tube removal"; what was done stands in no image
    rf"(?:status\s+post|s/p|following|after|post)[\s-]+(?:[\w-]+\s+){{0,4}}?(?:{_STEPS})"
    r"(?:\s+of\s+[^.,;]{1,60}(?=[.,;]|$))?"
)


@functools.cache
def _study() -> tuple[str, str, str]:
    """Return the patterns of a date, of an older study, and of a word that stands for one."""
    adjective, noun = _any("study_adjectives"), _any("study_nouns")
    # the edges keep a long run of "_" from being read in many ways
    date = rf"(?<!\w)(?:{_MASK}|{_CLOCK}|{_DAY}|{_MONTH}|{_SPAN}|{_LAST}|{_AGE}|yesterday|today"
    date += r"|earlier)(?!\w)"
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
    view = r"(?!(?:the\s+)?(?:pa|ap|lateral|frontal|upright|supine)\s+(?:view|projection))"
    opened = (
        rf"(?:{_any('openers')})\s+{view}(?:{older}(?:\s+(?:and|or)(?:\s+of)?\s+(?={older}))?)+"
    )
    seen = rf"(?:was|were|is|are)?\s*not\s+(?:previously\s+|well[\s-]+)?(?:{_any('seen')})"
    not_then = rf"(?:(?:which|that)\s+)?{seen}\s+(?:previously|before)\b"
    hardly = rf"(?:does|do|did)\s+not\s+(?:appear|seem)\s+to\s+be\s+(?:{_any('seen')})"
    then = rf"(?:(?:was|were)\s+)?also\s+(?:{_any('seen')})"
    shown = rf"(?:(?:which|that)\s+(?:\w+ly\s+)?)?(?:{seen}|{hardly}|{then})\s+(?:on|in|at)"
    before = rf"(?:{_any('weak_openers')}|{shown})"
    weak = rf"{before}\s+(?={_PRIOR})(?!comparison\s+(?:to|with))(?:{study}|{alone})"
    phrases = (
        opened, not_then, _NOT_HERE, _ADVICE, _lacking(study), weak, _then(study, date),
        _was(date), _WHILE, _AS_BEFORE, _any("adverbials"),
    )  # fmt: skip
    return f"(?:{'|'.join(phrases)})"


def _was(date: str) -> str:
    """Return the pattern of an older size: "previously 6 mm", "up from 4.8 cm in 2018"."""
    than = rf"than\s+(?:they|it)\s+(?:were|was|did)(?:\s+(?:(?:on|in|at)\s+)?{date})?"
    unseen = rf"(?:(?:which|that)\s+(?:was|were)\s+)?not\s+(?:{_any('seen')})\s+(?:on|in)\s+{date}"
    back = rf"dating\s+(?:back\s+)?(?:to|from)\s+{date}"
    return rf"(?:{_WAS})(?:\s+(?:in|on)\s+{date})?|{than}|{unseen}|{back}"


def _once(study: str, date: str) -> str:
    """Return the pattern of an aside on the past: ", which was complete this morning,"."""
    past = rf"(?:{date}|in\s+the\s+past|previously|(?:on|in)\s+(?={_PRIOR}){study})"
    relative = rf"(?:which|that)\s+(?:had\s+[^,;.]*|(?:was|were)\s+[^,;.]*?{past})"
    verbs = "enlarged|drained|prominent|large|small|dilated|raised|treated|tapped|elevated|effaced"
    said = rf"(?:not\s+)?(?:{_any('seen')}|{_any('told')}|{verbs})\s+{past}"
    aside = rf"\s*,\s*(?:{relative}|{said})\s*(?:,|(?=[.;]|$))"
    return rf"{aside}|\s*,\s*(?:was|were)\s+(?:\w+\s+){{1,3}}?{past}(?=\s*[.,;]|$)"


def _then(study: str, date: str) -> str:
    """Return the pattern of "seen on that film", "present in January", "noted then"."""
    verb = r"(?:(?:which|that)\s+)?(?:(?:was|were|had\s+been)\s+)?(?:not\s+)?"
    seen = rf"(?:(?:\w+ly|well)\s+)?(?:{_any('seen')}|{_any('told')})"
    noun = rf"(?:{_any('study_nouns')})"
    there = rf"(?:that|those|the\s+(?:{_any('study_times')})|an?\s+outside)\s+(?:\w+\s+)?{noun}"
    dated = rf"(?=(?:the\s+)?(?:\w+\s+){{0,2}}(?:{noun}\s+(?:of|from|dated)\s+)?{date}){study}"
    place = rf"(?:on|in|at|by)\s+(?:{there}(?:\s+(?:of|from)\s+{date})?|{dated}|{date})"
    is_now = r"(?<!\bis\s)(?<!\bare\s)(?<!\bnot\s)"  # "is not seen on ___" is of this image
    return rf"{is_now}{verb}{seen}\s+(?:then|(?!{_MASK}){date}|{place})"


def _lacking(study: str) -> str:
    """Return the pattern of "no prior studies are available for comparison"."""
    start = r"(?:with|as|given|since)?\s*(?:there\s+(?:are|is)\s+)?no\s+"
    is_older = r"(?=(?:recent|prior|previous|older|comparison|available)\b)"
    end = r"(?:\s+(?:are|is))?(?:\s+currently)?(?:\s+available)?"
    end += r"(?:\s+for\s+(?:direct\s+)?comparison)?"
    return f"{start}{is_older}{study}{end}"


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of asides, and of phrases at the start, elsewhere, "from" a date."""
    phrase, (date, study, _) = _phrase(), _study()
    changed = (
        r"unchanged|changed?|stable|increased?|decreased?|improved|worsened|larger|smaller|similar"
        r"|worse|better|new"
    )
    return (
        re.compile(_once(study, date), re.IGNORECASE),
        re.compile(rf"^\s*{phrase}(?:\s*[,:]\s*|\s*(?=[.;]|$)|\s+)", re.IGNORECASE),
        re.compile(rf"{phrase}(?![\w'’])\s*\)?", re.IGNORECASE),
        re.compile(rf"\b({changed})\s+(?:from|to)\s+{date}", re.IGNORECASE),
        re.compile(rf"\s*,?\s*\b{_AFTER}(?!\w)", re.IGNORECASE),
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
    aside, first, later, dated, after = _patterns()
    if "," in text:
        text = aside.sub("", text)
    if _PAST.search(text) and not is_advice(text):
        text = after.sub("", text)
    for _ in range(_MOST):
        shorter = _without(later, dated.sub(r"\1", first.sub("", text)))
        if shorter == text:
            break
        text = shorter
    return text


def _without(phrase: re.Pattern[str], text: str) -> str:
    """Return the text without the phrases in it, and without a comma or bracket before them.

    A phrase is looked for only at the words that open one: the pattern is slow.
    """
    kept, done, opens = [], 0, _firsts()
    for word in _WORD.finditer(text):
        start, name = word.start(), word.group().lower()
        if start < done or not (name in opens or name.endswith("ly")):
            continue
        found = phrase.match(text, start)
        if found:
            before = text[done:start].rstrip()
            kept.append(before[:-1].rstrip() if before.endswith((",", "(")) else before)
            done = found.end()
            if text[done : done + 1].isalnum():
                kept.append(" ")
    return "".join([*kept, text[done:]]) if done else text


@functools.cache
def _firsts() -> frozenset[str]:
    """Return the words that a phrase of comparison may begin with."""
    table = lexicon.load("priors")
    groups = ("openers", "weak_openers", "adverbials", "seen", "told", "other_openings")
    return frozenset(phrase.partition(" ")[0] for group in groups for phrase in table[group])
