"""Reads the boxes of a row: four numbers, or the run lengths of a mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cxr_vlp.nlp.labels import NO_FINDING, canonical
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.sources.table.label_cells import is_name, label_of
from cxr_vlp.pipelines.sources.table.options import Boxes, Masks
from cxr_vlp.pipelines.sources.table.values import pick

Frame = tuple[int, int] | None  # width and height; None: those of the file
_UNITS: Mapping[str, Frame] = {"fraction": (1, 1), "percent": (100, 100), "pixel": None}


class Found(NamedTuple):
    """A box of a row; the sides are x, y, width, height in pixels of `frame`."""

    label: str
    sides: tuple[float, float, float, float]
    frame: Frame = None
    phrase: str = ""


def box_in(
    options: Boxes | None, row: Row, names: Mapping[str, str], notes: Counter[str]
) -> list[Found]:
    """Return the box of a row, none if its cells are blank; a bad one is noted and left out."""
    if options is None:
        return []
    columns = options.corners or options.sides
    given = [cells.known(row.get(column)) for column in columns]
    if not any(given):
        return []
    name = cells.known(row.get(options.label))
    label = (label_of(name, names) if options.label else "") or canonical(options.name)
    if not label and name:
        return []  # a name that is no label
    sides = _sides([cells.number(cell) for cell in given], corners=bool(options.corners))
    frame = _frame(options.frame, row) or _UNITS[options.unit]
    named = label not in ("", NO_FINDING) and is_name(name, names)
    if sides is None or not named or not _inside(sides, frame):
        notes["box.bad_value"] += 1
        return []
    return [Found(label, sides, frame, cells.known(row.get(options.phrase)))]


def _sides(
    values: Sequence[float | None], *, corners: bool
) -> tuple[float, float, float, float] | None:
    if len(values) != 4 or None in values:
        return None
    x, y, right, bottom = (value for value in values if value is not None)
    w, h = (right - x, bottom - y) if corners else (right, bottom)
    return (x, y, w, h) if w > 0 and h > 0 else None


def _inside(sides: tuple[float, float, float, float], frame: Frame) -> bool:
    """Return whether a box is inside the frame, to half a pixel of rounding.

    A box within the first pixel of an image is one of fractions that the options call pixels.
    """
    x, y, w, h = sides
    if max(x + w, y + h) <= 1 and (frame is None or min(frame) > 1):
        return False
    if frame is None:
        return x >= -0.5 and y >= -0.5
    width, height = frame
    edge = 0.5 if min(frame) > 100 else 0.001 * max(frame)
    return x >= -edge and y >= -edge and x + w <= width + edge and y + h <= height + edge


def _frame(stated: Sequence[int | str], row: Row) -> Frame:
    """Return the frame that the options give, or the columns that they name."""
    if len(stated) != 2:
        return None
    found = [
        each if isinstance(each, int) else cells.number(row.get(each, "")) or 0 for each in stated
    ]
    width, height = map(int, found)
    return (width, height) if width > 0 and height > 0 else None


def mask_in(
    options: Masks | None, row: Row, notes: Counter[str]
) -> tuple[dict[str, int], list[Found]]:
    """Return (the label of a row's mask: 1, 0 without a mask, none for a blank cell; its box)."""
    if options is None:
        return {}, []
    cell = pick(options.column).of(row)
    label = canonical(options.name)
    if not cell:
        return {}, []
    if cell in options.none:
        return {label: 0}, []
    frame = _frame(options.frame, row)
    sides = frame and _around(options, cell, frame)
    if not sides:
        notes["mask.bad_value"] += 1
        return {}, []
    return {label: 1}, [Found(label, sides, frame)]


def _around(
    options: Masks, cell: str, frame: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Return the smallest box around the runs, None for runs that are not valid."""
    words = cell.split()
    if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
        return None
    numbers = list(map(int, words))
    runs = _absolute(options, list(zip(numbers[::2], numbers[1::2], strict=True)))
    width, height = frame
    line = height if options.order == "columns" else width  # pixels that follow each other
    if not runs or any(n < 1 or start < 0 or start + n > width * height for start, n in runs):
        return None
    first, last, low, high = _extent(runs, line)
    along, across = float(high - low + 1), float(last - first + 1)
    if options.order == "columns":
        return float(first), float(low), across, along
    return float(low), float(first), along, across


def _absolute(options: Masks, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if options.start == "absolute":
        return [(start - options.first, n) for start, n in runs]
    found, end = [], 0
    for gap, n in runs:
        found.append((end + gap, n))
        end += gap + n
    return found


def _extent(runs: Sequence[tuple[int, int]], line: int) -> tuple[int, int, int, int]:
    """Return (first line, last line, lowest and highest place in a line) of runs of pixels."""
    firsts = [start // line for start, _ in runs]
    lasts = [(start + n - 1) // line for start, n in runs]
    whole = any(a != b for a, b in zip(firsts, lasts, strict=True))  # a run over the line's end
    low = 0 if whole else min(start % line for start, _ in runs)
    high = line - 1 if whole else max((start + n - 1) % line for start, n in runs)
    return min(firsts), max(lasts), low, high
