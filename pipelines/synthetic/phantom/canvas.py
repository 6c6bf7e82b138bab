"""Draws outlines given in centimetres as soft masks of the image's size in pixels.

All outlines share one coordinate frame: x in cm from the midline (to the right of the image), y in
cm downwards from the lung's apex. The canvas maps that frame to pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # cv2 takes 1/16 pixels as integers
Points = np.ndarray  # float (n, 2), cm


def curve(knots: Sequence[tuple[float, float]], *, closed: bool = False, steps: int = 10) -> Points:
    """Return a smooth line through `knots` (Catmull-Rom); anatomy has no corners."""
    p = np.asarray(knots, dtype=np.float64)
    if closed:
        p = np.vstack([p[-1], p, p[:2]])
    else:
        p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    bent = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    line = bent.reshape(-1, 2)
    return line if closed else np.vstack([line, p[-2]])


def moved(points: Points, dx: float, dy: float = 0.0) -> Points:
    """Return `points` moved by (dx, dy) cm."""
    return points + np.array([dx, dy])


def oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Return an ellipse around (x, y), turned by `turn` radians."""
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    dx, dy = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([x + c * dx - s * dy, y + s * dx + c * dy], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """The size of an image in pixels, and the affine map (2, 3) from cm to pixels."""

    height: int
    width: int
    matrix: np.ndarray

    @property
    def px(self) -> float:
        """Return pixels per centimetre."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    def pixels(self, points: Points) -> Points:
        """Return cm points as pixel points, float (n, 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the cm coordinates x and y of every pixel, float32 (height, width) each."""
        inverse = cv2.invertAffineTransform(self.matrix).astype(np.float32)
        xs = np.arange(self.width, dtype=np.float32)[None, :]
        ys = np.arange(self.height, dtype=np.float32)[:, None]
        x = inverse[0, 0] * xs + inverse[0, 1] * ys + inverse[0, 2]
        y = inverse[1, 0] * xs + inverse[1, 1] * ys + inverse[1, 2]
        return x, y

    def fill(self, *outlines: Points, soft: float = 0.0) -> np.ndarray:
        """Return a mask 0..1 of the filled outlines, its edge `soft` cm wide."""
        layer = np.zeros((self.height, self.width), np.uint8)
        for outline in outlines:
            cv2.fillPoly(layer, [self._fixed(outline)], (255,), cv2.LINE_AA, _SHIFT)
        return self._soften(layer, soft)

    def stroke(
        self, lines: Iterable[Points], wide: float, *, soft: float = 0.0, hollow: float = 0.0
    ) -> np.ndarray:
        """Return a mask 0..1 of lines `wide` cm thick; `hollow` fades their core, as in bones."""
        layer = np.zeros((self.height, self.width), np.uint8)
        fixed = [self._fixed(line) for line in lines]
        cv2.polylines(layer, fixed, False, (255,), self.thick(wide), cv2.LINE_AA, _SHIFT)
        if hollow:
            core = self.thick(wide * 0.62)
            grey = round(255 * (1 - hollow))
            cv2.polylines(layer, fixed, False, (grey,), core, cv2.LINE_AA, _SHIFT)
        return self._soften(layer, soft)

    def traces(self, layer: np.ndarray, lines: np.ndarray, wide: np.ndarray) -> None:
        """Draw vessels (n, points, 2) onto an 8-bit `layer`, the wider the brighter.

        There are hundreds of them, so those of one width and grey are drawn in one call, thinnest
        first.
        """
        fixed = self._fixed(lines.reshape(-1, 2)).reshape(lines.shape)
        grey = np.clip(np.round((70 + 330 * wide) / 16) * 16, 0, 255).astype(int)
        thick = np.maximum(1, np.round(wide * self.px)).astype(int)
        for size, tone in sorted(set(zip(thick.tolist(), grey.tolist(), strict=True))):
            alike = [*fixed[(thick == size) & (grey == tone)]]
            cv2.polylines(layer, alike, False, (tone,), size, cv2.LINE_AA, _SHIFT)

    def thick(self, cm: float) -> int:
        """Return a line's thickness in whole pixels, at least one."""
        return max(1, round(cm * self.px))

    def blur(self, mask: np.ndarray, soft: float) -> np.ndarray:
        """Return `mask` blurred by `soft` cm; wide blurs are done on a small copy."""
        sigma = soft * self.px
        if sigma < 0.3:
            return mask
        if sigma < 4:
            return cv2.GaussianBlur(mask, (0, 0), sigma)
        step = 2 ** int(np.log2(sigma / 1.8))
        small = cv2.resize(
            mask,
            (max(4, self.width // step), max(4, self.height // step)),
            None,
            0,
            0,
            cv2.INTER_AREA,
        )
        small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
        return cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_CUBIC)

    def bulge(self, mask: np.ndarray, depth: float) -> np.ndarray:
        """Return the thickness of a rounded body: 0 at its edge, 1 from `depth` cm inwards."""
        step = 4 if depth * self.px > 24 else 2  # a deep body is smooth: a small copy is enough
        size = (self.width // step, self.height // step)
        small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        inside = (small > 0.5).astype(np.uint8)
        inside[[0, -1], :] = (
            0  # the border of the image is not an edge of the body, but cv2 needs a zero
        )
        far = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / (depth * self.px / step)
        rest = 1 - np.minimum(far, 1)
        thick = np.sqrt(np.maximum(1 - rest * rest, 0))
        return cv2.resize(thick, (self.width, self.height), interpolation=cv2.INTER_LINEAR)

    def mottle(self, noise: np.random.Generator, grain: float) -> np.ndarray:
        """Return smooth noise (height, width), about unit variance, grains `grain` cm wide."""
        step = max(1.0, grain * self.px * 0.7)
        shape = (int(self.height / step) + 4, int(self.width / step) + 4)
        coarse = noise.standard_normal(shape, dtype=np.float32)
        return cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_CUBIC) * 1.3

    def box(
        self, mask: np.ndarray, level: float = 0.35
    ) -> tuple[float, float, float, float] | None:
        """Return (x, y, w, h) in pixels of where `mask` exceeds `level`, or None."""
        x, y, w, h = cv2.boundingRect((mask > level).astype(np.uint8))
        return (float(x), float(y), float(w), float(h)) if w and h else None

    def _soften(self, layer: np.ndarray, soft: float) -> np.ndarray:
        """Return an 8-bit layer as a mask 0..1; narrow blurs are three times cheaper in 8 bits."""
        sigma = soft * self.px
        if 0.3 <= sigma < 4:
            layer = cv2.GaussianBlur(layer, (0, 0), sigma)
        mask = layer.astype(np.float32) * np.float32(1 / 255)
        return mask if sigma < 4 else self.blur(mask, soft)

    def _fixed(self, points: Points) -> np.ndarray:
        return np.round(self.pixels(points) * (1 << _SHIFT)).astype(np.int32)
