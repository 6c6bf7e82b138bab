"""Reads the boxes of a Label Studio file: its export, the short export, or an object by image.

The tool writes percentages of the image (x, y, width, height) with the image's size beside them;
some files were turned into pixels. The whole file tells which: no percentage is above 100.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxr_vlp.nlp import labels
from cxr_vlp.pipelines.errors import DataError

FRAME = (100, 100)  # in which the boxes are given: percent
LARGEST = 1 << 26  # bytes of a file, which is read as a whole
_SIDES = ("x", "y", "width", "height")
_NAMES = ("rectanglelabels", "labels", "label", "category", "class")
_IMAGE = re.compile(r"[^\s/\\]+\.(?:png|jpe?g|dcm|dicom)\Z", re.I)
_ROUNDING = 0.5  # percent that a box may reach beyond the image
_DEEPEST = 40  # levels of a file


class Named(NamedTuple):
    """A box in percent and the name of its image's file; without `sides` it cannot be used."""

    image: str
    label: str
    sides: tuple[float, float, float, float] | None


class _Found(NamedTuple):
    image: str
    label: str
    sides: tuple[float, ...]
    size: tuple[float, ...]  # width and height of the image, () if not stated


def boxes(path: Path, default: str) -> list[Named]:
    """Return the boxes of a file, those without a label under the name `default`.

    Raises DataError json.broken for a file that is not JSON or has no box.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        found = list(_boxes(json.loads(data), "", (), 0))
    except OSError:
        raise DataError(f"json.unreadable: {path.name}: correct its permissions") from None
    except (ValueError, RecursionError):
        found = []
    if not found:
        raise DataError(f"json.broken: {path.name} has no box; download it again, or remove it")
    is_pixels = any(side > 100 + _ROUNDING for box in found for side in box.sides)
    return [Named(b.image, b.label or default, _percent(b, is_pixels)) for b in found]


def _boxes(node: Any, image: str, size: tuple[float, ...], depth: int) -> Iterator[_Found]:
    """Yield the boxes below a node; the image and its size are stated at the box, or above it."""
    if depth > _DEEPEST:
        return
    if isinstance(node, list):
        for each in node:
            yield from _boxes(each, image, size, depth + 1)
    if not isinstance(node, Mapping):
        return
    image = _image(node) or image
    size = _numbers(node, ("original_width", "original_height")) or size
    if set(_SIDES) <= set(node):
        yield _Found(image, _label(node), _numbers(node, _SIDES), size)
        return
    for key, value in node.items():
        yield from _boxes(value, _file_name(key) or image, size, depth + 1)


def _image(node: Mapping[str, Any]) -> str:
    data = node.get("data")
    stated = [*node.values(), *(data.values() if isinstance(data, Mapping) else ())]
    return next((name for value in stated if (name := _file_name(value))), "")


def _file_name(value: Any) -> str:
    found = _IMAGE.search(value) if isinstance(value, str) else None
    return found[0] if found else ""


def _label(node: Mapping[str, Any]) -> str:
    for name in _NAMES:
        value = node.get(name)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str) and first.strip():
            return labels.canonical(first)
    return ""


def _numbers(node: Mapping[str, Any], names: tuple[str, ...]) -> tuple[float, ...]:
    """Return the numbers under some names, () if one is not a finite number."""
    values = [node.get(name) for name in names]
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return ()
    return tuple(float(v) for v in values if v is not None)


def _percent(box: _Found, is_pixels: bool) -> tuple[float, float, float, float] | None:
    """Return the sides in percent; None for a box without area or outside its image."""
    if not box.sides or (is_pixels and not (box.size and min(box.size) > 0)):
        return None
    wide, high = (100 / side for side in box.size) if is_pixels else (1.0, 1.0)
    x, y, w, h = box.sides
    x, y, w, h = x * wide, y * high, w * wide, h * high
    most = 100 + _ROUNDING
    inside = min(x, y) >= -_ROUNDING and x + w <= most and y + h <= most
    return (x, y, w, h) if inside and w > 0 and h > 0 else None
