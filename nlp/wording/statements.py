"""Writes each mention as a sentence of one standard form.

"There is a small left pleural effusion.", "There is no acute fracture.", "There may be pneumonia.",
"There is a right PICC with its tip in the SVC.". CARZero and OFF-CLIP have a language model write
such sentences; here they are built from the mention, and from the words of its sentence that say
which kind of a finding is meant. A change since an earlier image is not said.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.certainty import PROBABLE, UNLIKELY
from cxr_vlp.nlp.context.scope import ABSENT, UNCERTAIN
from cxr_vlp.nlp.devices.places import belongs_at
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import ADEQUATE, MALPOSITIONED, Mention
from cxr_vlp.nlp.wording import grammar, kinds, places
from cxr_vlp.nlp.wording.grammar import COUNT, MASS, PLURAL
from cxr_vlp.nlp.wording.places import BILATERAL, SIDES, Place

_UNSAID = lexicon.words("modifiers", "unsaid") | {""}
_MIDLINE = lexicon.words("statements", "midline")
_DEVICE_MIDLINE = lexicon.words("statements", "device_midline")
_SIDED = lexicon.words("statements", "sided_words")
_NAMES: Mapping[str, str] = lexicon.load("statements")["finding_names"]
_NAMED_BY: Mapping[str, str] = lexicon.load("statements")["named_by"]
_ALSO_PLURAL = lexicon.words("statements", "also_plural")
_GRADING = lexicon.words("statements", "grading_kinds")
_GRADED = lexicon.words("statements", "graded_kinds")
_REGIONS = lexicon.words("statements", "regions")
_MANY = lexicon.words("statements", "many")
_LUNGS = "lungs"


class Content(NamedTuple):
    """What a statement says: the mention, without what only its sentence needs."""

    finding: str
    assertion: str
    certainty: str
    name: str = ""  # the sentence's own term, where the name of the finding says less
    kind: str = COUNT  # of the noun: count, mass, plural
    many: bool = False  # the sentence has the plural
    side: str = ""
    severity: str = ""
    kinds: tuple[str, ...] = ()  # "acute", "large": which kind is meant
    structure: str = ""
    places: tuple[Place, ...] = ()
    sizes: str = ""
    device: bool = False
    position: str = ""
    tip: str = ""
    change: str = ""  # not said; a new finding contradicts "no new"


def restate(mentions: Iterable[Mention], sentence: str = "") -> tuple[str, ...]:
    """Return one statement for each mention, in order, each only once; devices and implied too.

    `sentence` is the text that the mentions are of. Without it the kind of a finding ("acute") is
    not said.
    """
    return tuple(dict.fromkeys(map(written, contents_of(mentions, sentence))))


def contents_of(mentions: Iterable[Mention], sentence: str = "") -> Iterator[Content]:
    """Yield what the statement of each mention says.

    The plural of "small right and moderate left effusions" counts the sides, not those of a side.
    """
    said = tuple(mentions)
    places = Counter((m.start, m.end) for m in said if m.side in SIDES)
    for mention in said:
        content = content_of(mention, sentence)
        if content.many and places[mention.start, mention.end] > 1:
            content = content._replace(many=False)
        yield content


def statement(mention: Mention, sentence: str = "") -> str:
    """Return the mention as one sentence of the standard form."""
    return written(content_of(mention, sentence))


def content_of(mention: Mention, sentence: str = "") -> Content:
    """Return what the statement of a mention says."""
    if mention.device:
        side = "" if mention.finding in _DEVICE_MIDLINE else mention.side
        return Content(
            mention.finding, mention.assertion, mention.certainty, side=side, device=True,
            position=mention.position, tip=mention.tip,
        )  # fmt: skip
    if mention.implied:
        return _implied(mention, sentence)
    own = sentence[mention.start : mention.end]
    name, kind = kinds.own_word(own) or ("", noun_of(mention.finding))
    is_sided = mention.finding not in _MIDLINE or name in _SIDED
    side = mention.side if is_sided else ""
    where = _places(mention, side)
    if where and all(_NAMED_BY.get(place.zone, "-") in mention.finding for place in where):
        side, where = _one_side(where), ()  # "right hilar enlargement"
    sizes = mention.sizes_mm
    return Content(
        mention.finding, mention.assertion, mention.certainty, name, kind, kinds.is_many(own), side,
        mention.severity, kinds.kinds_of(sentence, mention), _structure(mention, where), where,
        kinds.measured(sizes, sentence) if sizes else "", change=mention.change,
    )  # fmt: skip


def _places(mention: Mention, side: str) -> tuple[Place, ...]:
    if mention.finding in _MIDLINE:
        return ()
    if mention.places:
        return places.paired([places.read(place, side) for place in mention.places])
    return (places.read(mention.anatomy, side),) if places.is_zone(mention.anatomy) else ()


def _one_side(where: tuple[Place, ...]) -> str:
    sides = {place.side for place in where}
    return sides.pop() if len(sides) == 1 else BILATERAL


def _implied(mention: Mention, sentence: str) -> Content:
    """Return what is denied of a structure that is called normal: "the right lung is clear"."""
    side = kinds.structure_side(sentence, mention) if mention.finding not in _MIDLINE else ""
    where = kinds.structure_zone(sentence, mention, side) if mention.anatomy == _LUNGS else ()
    return Content(
        mention.finding, mention.assertion, mention.certainty, kind=noun_of(mention.finding),
        side=mention.side or side, places=where,
    )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def noun_of(finding: str) -> str:
    """Return the kind of noun that a finding's name is."""
    for kind, names in lexicon.load("statements")["nouns"].items():
        if finding in names:
            return str(kind)
    entry = terms.findings().get(finding)
    return entry.noun if entry else COUNT


def _structure(mention: Mention, where: tuple[Place, ...]) -> str:
    """Return the structure that is named after a name that does not tell of what it is."""
    if where or mention.anatomy in _UNSAID or places.is_zone(mention.anatomy):
        return ""
    is_open = kinds.is_general(mention.finding) or mention.finding == "degenerative change"
    return mention.anatomy if is_open else ""


def written(content: Content) -> str:
    """Return the statement."""
    if content.device:
        return _of_device(content)
    has_plural = content.kind == COUNT or content.finding in _ALSO_PLURAL
    is_plural = content.kind == PLURAL or (has_plural and _are_many(content))
    name = content.name or _NAMES.get(content.finding, content.finding)
    words = _with_noun(_adjectives(content, name, is_plural), name, is_plural)
    if content.sizes.count(" ") == 1:  # "8 mm"
        words.insert(0, content.sizes)
    elif content.sizes:
        words.append(f"measuring {content.sizes}")
    rest = places.phrase(content.places)
    if content.structure and not _REGIONS.intersection(
        content.kinds
    ):  # not "bony ... of the bones"
        rest = f" of the {content.structure}"
    return _sentence(content, " ".join(words), is_plural, rest)


def _with_noun(words: list[str], name: str, is_plural: bool) -> list[str]:
    """Return the adjectives and the noun; a side is inside of "elevated left hemidiaphragm"."""
    noun = grammar.plural(name) if is_plural else name
    if words and words[-1] in SIDES and grammar.begins_with_adjective(name):
        first, _, rest = noun.partition(" ")
        return [*words[:-1], first, words[-1], rest]
    return [*words, noun]


def _are_many(content: Content) -> bool:
    return content.side == BILATERAL or (content.many and content.assertion != ABSENT)


def _sentence(content: Content, phrase: str, is_plural: bool, rest: str) -> str:
    """Return the sentence that says or denies the noun phrase, `rest` of it after the noun."""
    be = "are" if is_plural else "is"
    if content.assertion == ABSENT and content.certainty != UNLIKELY:
        return f"There {be} no {phrase}{rest}."
    said = phrase if is_plural or content.kind == MASS else grammar.with_article(phrase)
    if content.assertion == ABSENT:
        return f"{said[0].upper()}{said[1:]}{rest} {be} unlikely."
    if content.certainty == PROBABLE:
        return f"There {be} probably {said}{rest}."
    be = "may be" if content.assertion == UNCERTAIN else be
    return f"There {be} {said}{rest}."


def _adjectives(content: Content, name: str, is_plural: bool) -> list[str]:
    """Return the words before the noun: severity, kind, side."""
    said = [word for word in content.kinds if is_plural or word not in _MANY]
    severity = "" if _GRADING.intersection(said) else content.severity  # "no significant effusion"
    if severity:
        is_graded = bool(_GRADED.intersection(said))
        severity = grammar.fitted(severity, content.finding, content.kind, is_graded)
    said = [_kind_word(word, content) for word in said]
    side = "" if places.covers(content.places, content.side) else content.side
    known = set(name.split())
    return [word for word in (severity, *said, side) if word and word not in known]


def _kind_word(word: str, content: Content) -> str:
    """Return a kind of size in the words that its noun takes: "no severe hyperinflation"."""
    if word == "large":
        return grammar.fitted(word, content.finding, content.kind)
    return word


def _of_device(content: Content) -> str:
    device = terms.devices()[content.finding]
    name = device.said
    if device.noun == MASS:
        content, is_plural = content._replace(kind=MASS), False
    else:
        is_plural = content.side == BILATERAL or device.noun == PLURAL
    if is_plural and device.noun != PLURAL:
        name = grammar.plural(name)
    is_wrong = content.position == MALPOSITIONED and content.assertion != ABSENT
    words = (content.position if is_wrong else "", content.side, name)
    rest = "" if content.assertion == ABSENT else _position(content, is_plural)
    return _sentence(content, " ".join(w for w in words if w), is_plural, rest)


def _position(content: Content, is_plural: bool) -> str:
    """Return where the device's tip lies, or that the device is where it should be."""
    table = lexicon.load("statements")
    tip = content.tip and table["tips"].get(content.tip, f"in the {content.tip}")
    said = ""
    shows = belongs_at(content.tip, content.finding) and content.tip not in table["open_tips"]
    if content.position == ADEQUATE and not shows:
        said = " in good position"
    if tip:
        said += f" with {'their tips' if is_plural else 'its tip'} {tip}"
    return said
