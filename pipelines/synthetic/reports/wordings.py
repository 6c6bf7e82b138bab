"""Words one sentence: of a finding, of denied findings or of a device, with its status.

The wordings are data (`phrases.yaml`). They do not use the lexicon of `cxr_vlp.nlp`: sentences made
from that lexicon would only test the engine against itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from cxr_vlp.pipelines.synthetic.cases.findings import Finding

_LOBES = {
    ("right", "upper"): ("right upper lobe", "right upper lung"),
    ("right", "mid"): ("right middle lobe", "right mid lung"),
    ("right", "lower"): ("right lower lobe", "right lower lobe", "right lung base"),
    ("left", "upper"): ("left upper lobe", "left upper lung"),
    ("left", "mid"): ("left mid lung", "lingula"),
    ("left", "lower"): ("left lower lobe", "left lower lobe", "left lung base"),
}
_ORDINAL = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
            "ninth", "tenth", "eleventh")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and what it says: normal, abnormal, uncertain or nonfinding."""

    text: str
    status: str


@cache
def phrases() -> Mapping[str, Any]:
    """Return the wordings of phrases.yaml, read once."""
    return yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))


def stated(finding: Finding, rng: Random, *, prior: bool, brief: bool = False) -> Sentence:
    """Return a sentence that states or hedges `finding`; `brief` is the style of an impression."""
    np, form = _name(finding, rng)
    if finding.name == "Pneumonia":
        frame = rng.choice(phrases()["pneumonia"]["present" if _sure(finding) else "doubt"])
        return Sentence(_capital(frame.format(np=np)), "abnormal")
    frames = phrases()["frames"]
    if not _sure(finding):
        own = phrases()["findings"][_entry(finding)].get("doubt", ())
        frame = rng.choice([*frames["doubt"], *own])
        return Sentence(_filled(frame, np, form), "uncertain")
    frame = rng.choice(_frames(finding, rng, prior, brief))
    return Sentence(_filled(frame, np, form), "abnormal")


def stated_without(finding: Finding, absent: str, rng: Random) -> Sentence:
    """Return a sentence that states `finding` and denies `absent`."""
    np, form = _name(finding, rng)
    frame = rng.choice(phrases()["frames"]["without"])
    text = frame.replace("{absent}", rng.choice(phrases()["absent"][absent]))
    return Sentence(_filled(text, np, form), "abnormal")


def resolved(finding: Finding, rng: Random) -> Sentence:
    """Return a sentence that says that `finding` has resolved."""
    side = finding.side + " " if finding.side in ("left", "right") else ""
    name = {"Edema": "pulmonary edema", "Lung Opacity": "opacity"}.get(
        finding.name, finding.name.lower()
    )
    frame = rng.choice(phrases()["frames"]["resolved"])
    return Sentence(frame.format(name=side + name), "normal")


def denied(names: Sequence[str], rng: Random) -> Sentence:
    """Return one sentence that denies all of `names`, as a list with one negation."""
    terms = [rng.choice(phrases()["absent"][name]) for name in names]
    if len(terms) == 1 and rng.random() < 0.15:
        return Sentence(_capital(rng.choice(phrases()["after"]).format(one=terms[0])), "normal")
    *most, last = terms
    comma = "," if len(most) > 1 and rng.random() < 0.6 else ""
    text = f"{', '.join(most)}{comma} or {last}" if most else last
    return Sentence(rng.choice(phrases()["lists"]).format(list=text), "normal")


def device(finding: Finding, rng: Random, *, brief: bool = False) -> Sentence:
    """Return a sentence about a device. Its status is "nonfinding"."""
    frame = rng.choice(phrases()["devices_short" if brief else "devices"][finding.kind])
    text = frame.format(side=finding.side, cm=round(rng.uniform(3.0, 5.5), 1))
    return Sentence(_capital(text), "nonfinding")


def fixed(rng: Random, status: str, *path: str, **values: str) -> Sentence:
    """Return one of the complete sentences under `path` in phrases.yaml."""
    node: Any = phrases()
    for step in path:
        node = node[step]
    return Sentence(_capital(rng.choice(node).format(**values)), status)


def _frames(finding: Finding, rng: Random, prior: bool, brief: bool) -> Sequence[str]:
    frames = phrases()["frames"]
    if finding.age_of == "old":
        return frames["healed" if finding.name == "Fracture" else "old"]
    if finding.age_of != "new":
        return frames[finding.age_of]
    if prior and rng.random() < 0.3:
        return frames["since"]
    return ("{np}.",) if brief and rng.random() < 0.8 else frames["new"]


def _name(finding: Finding, rng: Random) -> tuple[str, str]:
    """Return (noun phrase, form); form is one, many or mass."""
    entry = phrases()["findings"][_entry(finding)]
    names = entry["both"] if finding.side == "bilateral" and "both" in entry else entry
    choices = [(form, n) for form in ("one", "many", "mass") for n in names.get(form, ())]
    form, pattern = rng.choice(choices)
    # An old fracture has healed: its displacement is not mentioned.
    healed = finding.name == "Fracture" and finding.age_of == "old"
    grade = "" if healed else entry["grade"][finding.grade]
    text = pattern.format(
        grade=grade,
        side=finding.side,
        place=rng.choice(_LOBES.get((finding.side, finding.zone), ("",))),
        size=finding.size_cm,
        kind=finding.kind,
        ribs=_ribs(finding),
    )
    return " ".join(text.split()), form


def _ribs(finding: Finding) -> str:
    """Return "left fifth and sixth ribs", or "... fourth through sixth ribs" for more than two."""
    last = finding.number + finding.broken - 1
    joint = "and" if finding.broken == 2 else "through"
    return f"{finding.side} {_ORDINAL[finding.number]} {joint} {_ORDINAL[last]} ribs"


def _entry(finding: Finding) -> str:
    return "Clavicle" if finding.zone == "clavicle" else finding.name


def _sure(finding: Finding) -> bool:
    return finding.assertion == "present"


def _filled(frame: str, np: str, form: str) -> str:
    article = {"many": "", "mass": "", "one": "an " if np[0] in "aeiou" else "a "}[form]
    verb = "are" if form == "many" else "is"
    text = frame.replace("{a}", article + np).replace("{np}", np).replace("{is}", verb)
    if form == "many":
        text = text.replace(" is not excluded", " are not excluded")
    return _capital(text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
