"""Writes each mention as a sentence of one standard form.

"There is a small left pleural effusion.", "There is no pneumothorax.", "There may be pneumonia."
CARZero and OFF-CLIP have a language model write such sentences; here they are built from the
mention alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, UNCERTAIN
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import Mention

_UNSAID = lexicon.words("modifiers", "unsaid") | {""}


def restate(mentions: Iterable[Mention]) -> tuple[str, ...]:
    """Return one statement for each mention, in order, each only once; devices and implied too."""
    return tuple(dict.fromkeys(statement(mention) for mention in mentions))


def statement(mention: Mention) -> str:
    """Return the mention as one sentence of the standard form.

    A denial keeps the severity and side that the report names: "no large effusion" must not
    become "no effusion".
    """
    entry = terms.findings().get(mention.finding)
    device = terms.devices().get(mention.finding) if mention.device else None
    noun = entry.noun if entry else device.noun if device else "count"
    plural = noun == "plural" or (mention.side == "bilateral" and noun == "count")
    name = device.said if device else mention.finding
    name = _plural(name) if plural and (noun == "count" or not device) else name
    place = _place(mention)
    side = "" if place.startswith(" in ") else mention.side
    phrase = " ".join(w for w in (mention.severity, side, name) if w) + place
    return f"There {_verb(mention.assertion, plural)} {_article(mention, phrase, noun, plural)}."


def _verb(assertion: str, plural: bool) -> str:
    if assertion == UNCERTAIN:
        return "may be"
    return "are" if plural else "is"


def _article(mention: Mention, phrase: str, noun: str, plural: bool) -> str:
    if mention.assertion == ABSENT:
        return f"no {phrase}"
    if plural or noun == "mass":
        return phrase
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def _place(mention: Mention) -> str:
    """Return " in the left lower lobe", " of the aorta" after a name that says no place, or ""."""
    if mention.implied or mention.anatomy in _UNSAID or mention.device:
        return ""
    if mention.anatomy in lexicon.load("modifiers")["zone"]:
        if mention.side == "bilateral":
            return f" in both {_plural(mention.anatomy)}"
        return f" in the {mention.side} {mention.anatomy}".replace("  ", " ")
    entry = terms.findings().get(mention.finding)
    is_open = entry is not None and (entry.generic or entry.noun == "plural")
    return f" of the {mention.anatomy}" if is_open else ""


def _plural(name: str) -> str:
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith(("s", "x", "ss")):
        return name if name.endswith("s") and not name.endswith("ss") else name + "es"
    return name + "s"
