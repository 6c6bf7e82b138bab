"""Guesses what the columns of a table of images mean, from the names that such columns have.

A guess is made only where one column fits; two candidates are named and neither is used. `scan`
prints every guess. A column becomes a label only if its name is a label of the sample format.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.pipelines.format.sample import LABELS
from cxr_vlp.pipelines.sources.table.meaning import Meaning
from cxr_vlp.pipelines.sources.table.options import Boxes, Labels, Options

# option -> names of columns without blanks and marks, in groups: a path is surer than an id
_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": (
        "imagepath filepath path imgpath imagefile imagefilepath relativepath",
        "filename file image imageindex imagename imageid dicomid dicompath pngpath dicomfile img "
        "imgid sopinstanceuid dcm dcmpath",
    ),
    "patient": ("patientid patient subjectid subject deidpatientid patid pid",),
    "study": ("studyid study studyinstanceuid accessionnumber accession examid",),
    "split": ("split fold partition subset",),
    "view": ("viewposition view projection",),
    "sex": ("sex gender patientsex patientgender",),
    "age": ("age patientage ageyears ageatstudy",),
    "date": ("studydate date examdate acquisitiondate",),
    "text": ("report reporttext radiologyreport fullreport reportbody",),
}
_SECTIONS = ("findings", "impression", "indication", "comparison", "technique")
_LISTS = (
    "labels", "label", "findinglabels", "diagnoses", "diagnosis", "classname", "pathologies",
    "pathology",
)  # fmt: skip
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_LABELS = ("classname", "finding", "findinglabel", "labelname", "categoryname")


@dataclass(frozen=True)
class Guess:
    """The options with guessed columns filled in."""

    options: Options
    columns: Mapping[str, str] = field(default_factory=dict)  # option -> columns that were guessed
    doubtful: Mapping[str, str] = field(default_factory=dict)  # option -> columns it may be


Header = Mapping[str, Sequence[str]]  # name without blanks and marks -> columns


def of(options: Options, header: Sequence[str]) -> Guess:
    """Return the options with what the header shows; as they are where `guess` is false."""
    if not options.guess:
        return Guess(options)
    named = set(_whole(options))
    keyed: dict[str, list[str]] = {}
    for column in header:
        if column not in named:
            keyed.setdefault(re.sub(r"[^a-z0-9]", "", column.lower()), []).append(column)
    found, doubtful = _single(options, keyed)
    found |= _sections(options, keyed, found) | _boxes(options, keyed)
    found |= _labels(options, keyed, header)
    filled = dataclasses.replace(options, **found) if found else options
    return Guess(filled, {option: _written(value) for option, value in found.items()}, doubtful)


def _whole(options: Options) -> Iterator[str]:
    """Yield the columns that an option names as they are.

    A column that is a part of a pattern may still be what its name says: of the report file
    `reports/{study}.txt` the study.
    """
    for _, each in Meaning.of_images(options).stated():
        for one in each.alternatives or (each,):
            if not one.template and one.part is None:
                yield from one.columns


def _single(options: Options, keyed: Header) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the options that are one column, and those of which two columns fit."""
    found: dict[str, Any] = {}
    doubtful: dict[str, str] = {}
    for option, groups in _NAMES.items():
        if getattr(options, option) or (option == "text" and _has_report(options)):
            continue
        if option in options.constants:
            continue
        for names in groups:
            fits = [column for name in names.split() for column in keyed.get(name, ())]
            if len(fits) == 1:
                found[option] = fits[0]
            elif fits:
                doubtful[option] = " and ".join(fits)
            if fits:
                break
    return found, doubtful


def _has_report(options: Options) -> bool:
    further = any(also.text or also.sections for also in options.also)
    return further or bool(options.text or options.report_file or options.sections)


def _sections(options: Options, keyed: Header, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of sections: at least findings or impression, and no whole report."""
    if _has_report(options) or "text" in found:
        return {}
    columns = {name: keyed[name][0] for name in _SECTIONS if len(keyed.get(name, ())) == 1}
    return {"sections": columns} if {"findings", "impression"} & set(columns) else {}


def _boxes(options: Options, keyed: Header) -> dict[str, Any]:
    if options.boxes or any(len(keyed.get(name, ())) != 1 for name in _CORNERS):
        return {}
    labels = [keyed[name][0] for name in _BOX_LABELS if len(keyed.get(name, ())) == 1]
    if len(labels) != 1:
        return {}
    corners = tuple(keyed[name][0] for name in _CORNERS)
    return {"boxes": Boxes(corners=corners, label=labels[0])}


def _labels(options: Options, keyed: Header, header: Sequence[str]) -> dict[str, Any]:
    if options.labels:
        return {}
    free = {column for columns in keyed.values() for column in columns}
    columns = tuple(c for c in header if c in free and canonical(c) in LABELS)
    if columns:
        return {"labels": Labels(columns=columns)}
    lists = [column for name in _LISTS for column in keyed.get(name, ())]
    return {"labels": Labels(list=lists[0])} if len(lists) == 1 else {}


def _written(value: Any) -> str:
    """Return the columns of a guess, for a line of a table."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {column}" for name, column in value.items())
    if isinstance(value, Labels):
        return f"list: {value.list}" if value.list else ", ".join(value.columns)
    return f"{', '.join(value.corners)}; label: {value.label}"
