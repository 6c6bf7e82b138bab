"""Reads a cell of a table: a missing value, an id, a number, an age.

Tables pass through pandas and spreadsheets before we read them: a missing value becomes the text
`nan`, the id 50414267 becomes 50414267.0, 5.0414267E7 or 50,414,267, and leading zeros are lost. A
cell with exactly one possible meaning is read; any other cell is refused.
"""

from __future__ import annotations

import math
import re

from cxr_vlp.pipelines.errors import IngestError

# What pandas, R, SQL and spreadsheets write for a missing value.
MISSING = frozenset({"", "nan", "none", "na", "n/a", "#n/a", "null", "<na>", "nat", "-nan"})
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_POWER = re.compile(r"(\d)(?:\.(\d+))?[eE](\+?)0*(\d{1,2})", re.ASCII)
_AGE = re.compile(
    r"(\d+\.?\d*)\s*(?:(Y)(?:O|RS?|EARS?)?|(M)(?:OS?|ONTHS?)?|(W)(?:KS?|EEKS?)?|(D)(?:AYS?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def known(cell: str | None) -> str:
    """Return a cell without surrounding blanks; "" for every spelling of a missing value."""
    text = (cell or "").strip()
    return "" if text.casefold() in MISSING else text


def identifier(cell: str, width: int = 0, prefix: str = "", *, pad: bool = False) -> str:
    """Return the digits of an id that a spreadsheet may have turned into a number.

    `width` is the number of digits of the collection's ids (0: any), `prefix` a letter that may
    precede them, `pad` whether lost leading zeros are restored.
    Raises IngestError csv.id if the cell is missing, is not an id, or may mean several: 5.04E+07
    was rounded, and many ids round to it.
    """
    if len(cell) == width and cell.isascii() and cell.isdigit():
        return cell  # the usual case
    text = known(cell)
    if prefix and text[:1].lower() == prefix:
        text = text[1:]
    if not _DIGITS.fullmatch(text):
        text = _whole(text)
    if pad:
        text = text.zfill(width)
    if not text or (width and len(text) != width):
        raise IngestError("csv.id")
    return text


def _whole(text: str) -> str:
    """Return the digits of a whole number, "" for anything else."""
    head, dot, tail = text.partition(".")
    if dot and not tail.strip("0"):
        text = head  # 50414267.0, and also 50,414,267.00
    if _DIGITS.fullmatch(text):
        return text
    if _GROUPED.fullmatch(text):
        return text.replace(",", "")
    power = _POWER.fullmatch(text)
    if power is None:
        return ""
    first, rest, plus, exponent = power[1], power[2] or "", power[3], int(power[4])
    if rest[exponent:].strip("0") or (plus and len(rest) < exponent):
        return ""  # a spreadsheet writes the plus, and rounds to what its column displays
    return first + rest[:exponent].ljust(exponent, "0")


def number(cell: str) -> float | None:
    """Return a finite number, None if the cell is missing or contains anything else."""
    text = known(cell)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def years(text: str) -> int | None:
    """Return the whole years of an age (58, 58.0, 58 years, or as DICOM writes it: 058Y, 011M).

    None for anything else, and for ages above 120: NIH's first release holds some of 400 and more.
    """
    found = _AGE.fullmatch(text.strip().upper())
    if found is None:
        return None
    unit = next(filter(None, found.groups()[1:]), "Y")
    age = float(found[1]) / {"Y": 1, "M": 12, "W": 52, "D": 365}[unit]
    return int(age) if age <= 120 else None


def plain(cell: str | None) -> str:
    """Return a form that is equal for cells with the same meaning: 1.0 is 1, nan is ""."""

    text = known(cell)
    value = number(text)
    return text if value is None else repr(value + 0.0)
