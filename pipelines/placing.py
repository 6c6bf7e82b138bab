"""A picture's size and the parameters in, the stored picture's size and place out; no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.params import Shards


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the source picture lies in the stored one: stored = scale * source + offset."""

    scale_x: float
    scale_y: float
    offset_x: int = 0
    offset_y: int = 0


def scaled(width: int, height: int, shards: Shards) -> tuple[int, int]:
    """Return (width, height) in pixels after resizing, before any padding; never 0."""
    side = min(height, width) if shards.resize == "shortest" else max(height, width)
    ratio = shards.side / side
    if ratio > 1 and not shards.enlarge:
        ratio = 1.0
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def placement(width: int, height: int, shards: Shards) -> Placement:
    """Return where a source picture of this size comes to lie."""
    new_width, new_height = scaled(width, height, shards)
    offset = (0, 0)
    if shards.resize == "pad":
        offset = ((shards.side - new_width) // 2, (shards.side - new_height) // 2)
    return Placement(new_width / width, new_height / height, *offset)
