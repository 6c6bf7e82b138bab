"""Reads the flags of `plan` (`--images 100M`), and writes hours and bytes for its tables."""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from decimal import Decimal

from cxr_vlp.nlp.config import settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.pipelines.planning import costs

_NUMBER = re.compile(
    r"(\d+|\d{1,3}(?:[,_]\d{3})+)(?:\.(\d{1,12}))?(e\d{1,2}|[kmb]?)", re.I | re.ASCII
)
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
MOST = 10**12  # images


def images(text: str) -> int:
    """Return a number of images: 377110, 377,110, 2.5k, 100M, 1B, 1e8.

    Raises ArgumentTypeError for anything else, and for a number that is not whole.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 377110, 500k or 100M")
    whole, part, unit = found.groups()
    digits = re.sub("[,_]", "", whole)
    if len(digits) > len(str(MOST)):
        raise argparse.ArgumentTypeError(f"more than {MOST:,} images")
    power = 10 ** int(unit[1:]) if unit[:1] in ("e", "E") else _TIMES[unit.lower()]
    number = Decimal(f"{digits}.{part or 0}") * power
    if number != int(number) or not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST:,} images")
    return int(number)


def count(text: str) -> int:
    """Return a number of at least 1. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number of at least 1")
    return int(text)


def megabytes(text: str) -> float:
    """Return a number of megabytes, at least 0.001. Raises ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.001 <= found < math.inf:
        raise argparse.ArgumentTypeError("must be a number of megabytes, at least 0.001")
    return found


def published(text: str) -> tuple[str, ...]:
    """Return the published collections that a list names. Raises ArgumentTypeError."""
    found = tuple(name.strip() for name in text.split(","))
    try:
        settings.known(found, costs.published(), "--collections", "collection")
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    twice = [name for name, number in Counter(found).items() if number > 1]
    if twice:
        raise argparse.ArgumentTypeError(f"{twice[0]} is named twice")
    return found


def short(number: float) -> str:
    """Return a number of images as a title has it: 100 million, 2.5 million, 40,000."""
    return f"{number / 1e6:,.6g} million" if number >= 1e6 else f"{number:,.0f}"


def hours(seconds: float) -> str:
    """Return hours with two digits that count; below .01 hours they are 0.00."""
    return _digits(seconds / 3600)


def size(number: float) -> str:
    """Return bytes in the largest decimal unit of which there is at least one: 4.70 TB."""
    unit = 0
    while unit < len(_UNITS) - 1 and float(f"{number:.3g}") >= 1000:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} B" if unit == 0 else f"{_digits(number)} {_UNITS[unit]}"


def _digits(number: float) -> str:
    if number < 9.995:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 99.95 else f"{number:,.0f}"
