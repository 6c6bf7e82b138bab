"""Moves boxes and heat maps between three frames: model's square, stored image, original image.

The *square* is the model's input, S x S pixels. The *stored image* is the one in the shard, in
whose pixels the boxes of a sample are. The *original image* is the collection's file. All positions
are in pixels from the top left corner of the frame; the centre of the first pixel is at 0.5.

The square comes from the stored image by one resize for each axis (data/images.cut), the stored
image from the original by turns, one resize, and an offset where the shards pad. So everything here
is exact but for rounded window edges, which are rounded here as they are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_vlp.pipelines.format.sample import Box, Pixels
from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.images import (
    full_square,
    inner_window,
    overlap,
    reduction,
    stored_size,
)
from cxr_vlp.train.evaluation.scores import Floats

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a resize: `first`..`last` of the image became `low`..`high` of the square."""

    first: float
    last: float
    low: float
    high: float

    def to_square(self, place: float) -> float:
        """Return where a place on the stored image's axis is on the square's axis."""
        return self.low + (place - self.first) * (self.high - self.low) / (self.last - self.first)

    def to_stored(self, place: float) -> float:
        """Return where a place on the square's axis is on the stored image's axis."""
        return self.first + (place - self.low) * (self.last - self.first) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Frame:
    """How a stored image of height x width pixels became the model's square of `size` pixels."""

    height: int
    width: int
    size: int
    down: Axis
    across: Axis

    @classmethod
    def of(cls, height: int, width: int, recipe: ImageConfig, size: int, reduced: int = 1) -> Frame:
        """Return the frame of a stored image of height x width pixels.

        `reduced`: by how much its sides were divided when it was decoded (a JPEG's may be).
        """
        decoded = -(-height // reduced), -(-width // reduced)
        window = inner_window(full_square(*decoded, recipe.fit), recipe.part)
        down = _axis(window.y, window.height, decoded[0], reduced, size)
        across = _axis(window.x, window.width, decoded[1], reduced, size)
        return cls(height, width, size, down, across)

    @classmethod
    def read(cls, data: bytes, recipe: ImageConfig, size: int) -> Frame | None:
        """Return the frame of an encoded image; None where the bytes are no image."""
        stored = stored_size(data)
        if stored is None:
            return None
        foreign = getattr(recipe, "transform", None) is not None  # such a model reads all pixels
        reduced = 1 if foreign else reduction(data, recipe, size)
        return cls.of(*stored, recipe, size, reduced)

    def to_square(self, box: Box) -> tuple[float, float, float, float]:
        """Return a box of the stored image as (left, top, right, bottom) in the square."""
        x, y = self.across.to_square, self.down.to_square
        return x(box.x), y(box.y), x(box.x + box.w), y(box.y + box.h)

    def to_stored(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return a rectangle of the square as a box of the stored image."""
        x, y = self.across.to_stored, self.down.to_stored
        return Box("", x(left), y(top), x(right) - x(left), y(bottom) - y(top))

    def spread(self, heat: Floats) -> Floats:
        """Return a map (h, w) over the square as one over the stored image (height, width).

        Bilinear between the centres of the patches, constant beyond the outermost ones, as
        torch's `interpolate` without aligned corners. NaN where the square does not reach.
        """
        rows = _weights(self.down, self.height, self.size, heat.shape[0])
        columns = _weights(self.across, self.width, self.size, heat.shape[1])
        found: Floats = rows @ np.asarray(heat, np.float64) @ columns.T
        return found

    def seen(self) -> Mask:
        """Return (height, width): which pixels of the stored image the model sees."""
        return np.outer(_inside(self.down, self.height), _inside(self.across, self.width))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the original image is in the stored one: stored = scale * turned original + offset.

    height, width: of the original image, in pixels. turn: the steps that were applied to it first,
    T transpose, X mirror left to right, Y flip upside down. The scales are those of the stored
    image's axes.
    """

    height: int
    width: int
    turn: str
    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int

    @classmethod
    def of(cls, pixels: Pixels) -> Origin | None:
        """Return the place of the original image, from a sample's `pixels`.

        None where they do not tell it: sizes that are missing, or an image on a square that is
        larger than itself, which may or may not have been enlarged.
        """
        wide, high = pixels.source_width, pixels.source_height
        if not (wide and high and pixels.width and pixels.height):
            return None
        square = _squared(wide, high, pixels.aspect or 1.0)
        if "T" in pixels.turned:
            square, wide, high = square[::-1], high, wide
        placed = _placed(square, (pixels.width, pixels.height))
        if placed is None:
            return None
        new, at = placed
        scales = new[0] / wide, new[1] / high
        return cls(pixels.source_height, pixels.source_width, pixels.turned, *scales, *at)

    def box(self, box: Box) -> tuple[float, float, float, float]:
        """Return a box of the stored image as (x, y, width, height) in the original one."""
        x, y = (box.x - self.offset_x) / self.scale_x, (box.y - self.offset_y) / self.scale_y
        w, h = box.w / self.scale_x, box.h / self.scale_y
        wide, high = self._turned()
        for step in reversed(self.turn):
            if step == "T":
                x, y, w, h, wide, high = y, x, h, w, high, wide
            elif step == "X":
                x = wide - x - w
            else:
                y = high - y - h
        return x, y, w, h

    def inside(self, height: int, width: int) -> Mask:
        """Return (height, width): which pixels of the stored image are no padding."""
        wide, high = self._turned()
        rows = _between(height, self.offset_y, self.offset_y + high * self.scale_y)
        columns = _between(width, self.offset_x, self.offset_x + wide * self.scale_x)
        return np.outer(rows, columns)

    def original(self, heat: Floats) -> Floats:
        """Return a map over the stored image as one over the original image (height, width)."""
        wide, high = self._turned()
        rows = _nearest(high, self.scale_y, self.offset_y, heat.shape[0])
        columns = _nearest(wide, self.scale_x, self.offset_x, heat.shape[1])
        found = heat[np.ix_(rows, columns)]
        for step in reversed(self.turn):
            found = found.T if step == "T" else (found[:, ::-1] if step == "X" else found[::-1])
        return np.ascontiguousarray(found)

    def _turned(self) -> tuple[int, int]:
        """Return (width, height) of the original image after the turns."""
        sides = self.width, self.height
        return sides[::-1] if self.turn.count("T") % 2 else sides


def mask_of(boxes: tuple[Box, ...], height: int, width: int) -> Mask:
    """Return (height, width): the pixels whose centre is in one of the boxes.

    A box without any pixel's centre in it covers the pixel that its own centre is in.
    """
    mask = np.zeros((height, width), np.bool_)
    for box in boxes:
        mask[_covered(box.y, box.h, height), _covered(box.x, box.w, width)] = True
    return mask


def _covered(start: float, side: float, length: int) -> slice:
    first, last = (int(np.ceil(edge - 0.5)) for edge in (start, start + side))
    if first >= last:
        first = int(np.floor(start + side / 2))
        last = first + 1
    return slice(min(max(first, 0), length), min(max(last, 0), length))


def _axis(centre: float, side: float, decoded: int, reduced: int, size: int) -> Axis:
    first, last, low, high = overlap(centre, side, decoded, size)
    return Axis(first * reduced, last * reduced, low, high)


def _inside(axis: Axis, length: int) -> Mask:
    return _between(length, axis.first, axis.last)


def _between(length: int, first: float, last: float) -> Mask:
    centres = np.arange(length) + 0.5
    found: Mask = (centres >= first) & (centres <= last)
    return found


def _weights(axis: Axis, length: int, size: int, patches: int) -> Floats:
    """Return (length, patches): what each patch adds to each pixel; NaN rows outside."""
    centres = np.arange(length) + 0.5
    square = axis.low + (centres - axis.first) * (axis.high - axis.low) / (axis.last - axis.first)
    place = np.clip(square * patches / size - 0.5, 0, patches - 1)
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(patches)), 0, 1)
    weights[~_inside(axis, length)] = np.nan
    return weights


def _squared(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Return (width, height) in square pixels, for pixels `aspect` times as high as wide."""
    if aspect > 1:
        return width, max(1, round(height * aspect))
    return max(1, round(width / aspect)), height


def _placed(
    square: tuple[int, int], stored: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return (width, height) and the offset of an image in square pixels in the stored one."""
    if _same_shape(square, stored):
        return stored, (0, 0)
    side = stored[0]
    if stored[0] != stored[1] or side > max(square):
        return None
    new = tuple(max(1, round(each * (side / max(square)))) for each in square)
    return (new[0], new[1]), ((side - new[0]) // 2, (side - new[1]) // 2)


def _same_shape(square: tuple[int, int], stored: tuple[int, int]) -> bool:
    """Return whether one factor makes both sides, each rounded to a whole pixel."""
    (wide, high), (to_wide, to_high) = square, stored
    lows = ((to_wide - 0.5) / wide, (to_high - 0.5) / high)
    highs = ((to_wide + 0.5) / wide, (to_high + 0.5) / high)
    return max(lows) <= min(highs)


def _nearest(length: int, scale: float, offset: int, stored: int) -> npt.NDArray[np.intp]:
    places = np.floor((np.arange(length) + 0.5) * scale + offset).astype(np.intp)
    return np.clip(places, 0, stored - 1)
