"""Makes the facts of a row: who, when, which view, labels, boxes and the place of a report.

The result is a row for `assemble`: text under short names, without what is blank. Labels and boxes
are JSON. It never holds report text, only a digest of it.
"""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.sources.base import ORDER
from cxr_vlp.pipelines.sources.table import box_cells, keys, label_cells, texts
from cxr_vlp.pipelines.sources.table.options import Options
from cxr_vlp.pipelines.sources.table.plan import Part
from cxr_vlp.pipelines.sources.table.values import SPLITS

_FEMALE = "f w female woman girl weiblich femme femenino feminino femmina mujer"
_MALE = "m male man boy männlich homme masculino maschio masculin hombre"
_SEXES = dict.fromkeys(_FEMALE.split(), "F") | dict.fromkeys(_MALE.split(), "M")
_NO_SEX = frozenset({"o", "u", "x", "d", "other", "unknown"})
_DAY = re.compile(
    r"(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?)?"
    r"(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
)
_GERMAN = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?![^ ])")
_DIGITS_OF_A_DATE = re.compile(r"\d{8}(?:\d{4}|\d{6})?(?:\.0)?", re.ASCII)


def of_row(
    part: Part,
    line: Line,
    options: Options,
    complete: Iterable[str],
    *,
    seekable: bool,
) -> Row:
    """Return the facts of one row. Raises IngestError for a row that makes its study unusable."""
    notes: Counter[str] = Counter()
    row, meaning = line.row, part.meaning
    facts = {name: pick.of(row) for name, pick in meaning.facts.items()}
    for name, value in meaning.constants.items():
        facts[name] = facts.get(name) or value
    names = {**(options.labels.names if options.labels else {})}
    names |= meaning.labels.names if meaning.labels else {}
    labels = label_cells.in_row(meaning.labels, row, complete, notes)
    boxes = box_cells.box_in(meaning.boxes, row, names, notes)
    masked, around = box_cells.mask_in(meaning.masks, row, notes)
    found = {
        "patient": _patient(facts, "patient" in meaning.facts, notes),
        "split": part.split or _split(facts.get("split", ""), options),
        "view": _renamed(facts.get("view", ""), options.views),
        "sex": _sex(facts.get("sex", ""), notes),
        "age": _age(facts, notes),
        "when": _when(facts.get("date", ""), notes),
        "labels": _json(labels),
        "labels_by": meaning.labels_by.of(row) if labels else "",
        "polarity": _polarity(meaning.photometric.of(row)),
        "masked": _json(masked),
        "boxes": _json([*boxes, *around]),
        "reader": cells.known(row.get(meaning.readers.column)) if meaning.readers else "",
        ORDER: str(line.number),
        **texts.place_of(part, line, seekable=seekable),
        "notes": _json(+notes),
    }
    return {name: value for name, value in found.items() if value}


def _polarity(photometric: str) -> str:
    return "inverted" if photometric.upper().replace(" ", "") == "MONOCHROME1" else ""


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True) if value else ""


def _patient(facts: Mapping[str, str], has_column: bool, notes: Counter[str]) -> str:
    if not has_column:
        return ""
    patient, changed = keys.restored(facts["patient"])
    notes["id.normalised"] += changed
    return patient


def _split(word: str, options: Options) -> str:
    """Return a split, or train_val. Raises IngestError split.unknown."""
    if not word:
        return ""
    own = {name.casefold(): split for name, split in options.splits.items()}
    found = own.get(word.casefold()) or SPLITS.get(word.casefold().replace("-", "_"))
    if found is None:
        raise IngestError("split.unknown")
    return found


def _renamed(word: str, words: Mapping[str, str]) -> str:
    folded = {name.casefold(): known for name, known in words.items()}
    return folded.get(word.casefold(), word)


def _sex(word: str, notes: Counter[str]) -> str:
    found = _SEXES.get(word.casefold(), "")
    # DICOM's O (other) and what stands for unknown is no mistake
    notes["sex.bad_value"] += bool(word) and not found and word.casefold() not in _NO_SEX
    return found


def _age(facts: Mapping[str, str], notes: Counter[str]) -> str:
    stated, born = facts.get("age", ""), facts.get("birth", "")
    if stated or not born:
        years = cells.years(stated) if stated else None
        notes["age.bad_value"] += bool(stated) and years is None
        return "" if years is None else str(years)
    birth, now = _date(born), _date(facts.get("date", ""))
    whole = _whole_years(birth, now) if birth and now else None
    notes["age.bad_value"] += whole is None and bool(facts.get("date"))
    return "" if whole is None else str(whole)


def _whole_years(birth: str, now: str) -> int | None:
    """Return the years between two dates; of a year alone, the difference of the years."""
    years = int(now[:4]) - int(birth[:4])
    if len(birth) > 4 and len(now) > 4:
        years -= now[4:8] < birth[4:8]
    return years if 0 <= years <= 120 else None


def _date(text: str) -> str:
    """Return a date as the digits of year, month, day and time; of a year alone, four digits."""
    text = text.strip()
    year = re.fullmatch(r"((?:1[89]|2[01])\d\d)(?:\.0)?", text)
    if year:
        return year[1]
    if german := _GERMAN.match(text):
        text = f"{german[3]}-{german[2]:0>2}-{german[1]:0>2}{text[german.end() :]}"
    match = _DAY.fullmatch(text.removesuffix(".0"))
    if match is None:
        return ""
    try:
        datetime.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return ""
    return "".join(group or "00" for group in match.groups())


def _when(text: str, notes: Counter[str]) -> str:
    """Return a sortable time: of a date, as a DICOM header has it; of another number, padded."""
    if not text:
        return ""
    found = _date(text)
    if len(found) > 4:
        return found
    number = cells.number(text)
    # the digits of no date, as in 02032019, would be in the order of the days
    if number is None or number < 0 or _DIGITS_OF_A_DATE.fullmatch(text):
        notes["date.bad_value"] += 1
        return ""
    return f"{number:024.6f}"
