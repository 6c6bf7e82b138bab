"""A small grammar of the standard form: what is wrong with a statement."""

from __future__ import annotations

import re

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.wording.statements import noun_of

_FORM = re.compile(
    r"(?:There (?P<be>is|are|may be)(?: probably)? (?P<there>.+)"
    r"|(?P<unlikely>[A-Z0-9].+) (?P<verb>is|are) unlikely)\."
)
_AFTER_NOUN = re.compile(
    r" (?:in (?:the|both|good|a) |at (?:the|both) |of the |with (?:its|their) |measuring "
    r"|above the |below the ).*"
)
_SINGULAR_S = re.compile(r"(?:[iu]s|ss|ites)$")
_IRREGULAR_PLURALS = {"hila", "apices"}
_AN = re.compile(r"[aeioAEIO]|u(?!ni)|8|11 |18 ")
_SIZES = {"large", "small", "trace", "tiny"}
_PLACES = re.compile(r"\b(?:in|at) (the|both) (?:left |right )?([a-z ]+?)(?= and | in | at |,|$)")


def faults(statement: str) -> list[str]:
    """Return what is wrong with a statement; [] for good English of the standard form."""
    match = _FORM.fullmatch(statement)
    if match is None:
        return ["not the standard form"]
    found = [] if "  " not in statement else ["two blanks"]
    found += [f"{word} twice" for word in re.findall(r"\b(\w+) \1\b", statement)]
    phrase = match["there"] or match["unlikely"]
    verb = match["be"] or match["verb"]
    noun = _AFTER_NOUN.sub("", phrase).removesuffix(".")
    head = noun.split()[-1]
    is_plural = head in _IRREGULAR_PLURALS or (head.endswith("s") and not _SINGULAR_S.search(head))
    if verb != "may be" and is_plural != (verb == "are"):
        found.append(f"{verb} with {head}")
    found += _article(noun, is_plural)
    found += _size(noun)
    found += _places(phrase)
    found += [w for w in ("picc", "svc", "copd", "ecmo") if w in re.findall(r"\w+", statement)]
    return found


def _article(noun: str, is_plural: bool) -> list[str]:
    first, _, rest = noun.partition(" ")
    if first.lower() in ("a", "an"):
        wanted = "an" if _AN.match(rest) else "a"
        wrong = [f"{first} before {rest}"] if first.lower() != wanted else []
        return wrong + (["an article before a plural"] if is_plural else [])
    if first == "no" or is_plural:
        return []
    return [] if _is_mass(noun) else [f"no article before {noun}"]


def _is_mass(noun: str) -> bool:
    table = lexicon.load("statements")
    mass = {name for name in terms.findings() if noun_of(name) == "mass"}
    mass |= {d.said for d in terms.devices().values() if d.noun == "mass"}
    mass |= {*table["own_words"]["mass"]}
    return any(noun.lower().endswith(name.lower()) for name in mass)


def _size(noun: str) -> list[str]:
    """A mass noun has no size, unless it is a fluid or lies in a place of the lung."""
    table = lexicon.load("statements")["scale_of"]
    open_ = (*table["fluid"], *table["open"])
    if not _is_mass(noun) or any(noun.endswith(name) for name in open_):
        return []
    words = noun.replace("small airways", "").split()
    return [f"{size} {noun}" for size in _SIZES & set(words[:3])]


def _places(phrase: str) -> list[str]:
    found = []
    for word, place in _PLACES.findall(phrase):
        is_plural = place.endswith("s") or place in _IRREGULAR_PLURALS
        if (word == "both") and not is_plural:
            found.append(f"both {place}")
    return found
