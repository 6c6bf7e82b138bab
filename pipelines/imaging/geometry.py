"""Where a source image comes to lie in the stored one: its size and place, without any pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.records import Placement


def squared(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Return (width, height) in square pixels, for pixels `aspect` times as high as wide.

    The side with the longer pixels is stretched, so that no detail is lost.
    """
    if aspect > 1:
        return width, max(1, round(height * aspect))
    return max(1, round(width / aspect)), height


def scaled(width: int, height: int, shards: Shards) -> tuple[int, int]:
    """Return (width, height) in pixels after resizing, before any padding; never 0."""
    side = min(height, width) if shards.resize == "shortest" else max(height, width)
    ratio = shards.side / side
    if ratio > 1 and not shards.enlarge:
        ratio = 1.0
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def placement(
    width: int, height: int, shards: Shards, aspect: float = 1.0, turn: str = ""
) -> Placement:
    """Return where a source image of this size comes to lie."""
    square, source = squared(width, height, aspect), (width, height)
    if "T" in turn:
        square, source = square[::-1], source[::-1]
    new_width, new_height = scaled(*square, shards)
    offset = (0, 0)
    if shards.resize == "pad":
        offset = ((shards.side - new_width) // 2, (shards.side - new_height) // 2)
    scales = new_width / source[0], new_height / source[1]
    return Placement(*scales, *offset, width=width, height=height, turn=turn)


def of_facts(facts: Mapping[str, Any], shards: Shards) -> Placement:
    """Return where a source image lies by the `pixels` field of its sample."""
    size = facts["source_width"], facts["source_height"]
    return placement(*size, shards, facts["aspect"], facts["turned"])
