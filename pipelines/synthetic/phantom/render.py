"""Draws one chest X-ray: from a study and a view to the pixels and the boxes of its findings.

`frontal` or `lateral` gives a map of density; here it becomes an image: placed on the detector,
exposed (scatter, noise, tone), labelled with its lead letter, collimated. These images allow
anybody to run the whole pipeline without a data use agreement. They are drawings: a model that is
trained on them has learned these drawings, not patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest, chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas
from cxr_vlp.pipelines.synthetic.phantom.frontal import frontal
from cxr_vlp.pipelines.synthetic.phantom.lateral import lateral
from cxr_vlp.pipelines.synthetic.phantom.scene import Boxes
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream


@dataclass(frozen=True, slots=True, eq=False)
class BoxedImage:
    """One image. `pixels` is float32 (height, width) in 0..1, bright = dense (MONOCHROME2).

    `boxes` holds (label, x, y, w, h) in pixels, for findings that can be located.
    """

    pixels: np.ndarray
    boxes: Boxes


def draw(study: Study, view: str, *, height: int = 512, seed: int) -> BoxedImage:
    """Return the image of `study` in `view` ("PA", "AP" or "LATERAL"), `height` pixels high.

    The person's build depends on the patient alone, so the images of one patient resemble each
    other. Exposure, rotation and breath depend on the study.
    """
    key = (seed, study.source, study.patient, study.number, view)
    rng, noise = stream("film", *key), noise_stream("film", *key)
    body = chest(study, view, seed)
    side_on = view == "LATERAL"
    canvas = _canvas(body, rng, height, side_on)
    density, boxes = (lateral if side_on else frontal)(study, view, canvas, body, seed)
    image = _expose(canvas, density.astype(np.float32), rng, noise, bedside=body.portable)
    image = _collimate(_label_side(image, rng, lateral=side_on, bedside=body.portable), rng)
    return BoxedImage(np.clip(image, 0, 1).astype(np.float32), boxes)


def _canvas(body: Chest, rng: Random, height: int, side_on: bool) -> Canvas:
    """Return the canvas: the size of the image, and the position and tilt of the patient."""
    width = round(height * (rng.uniform(0.83, 0.98) if side_on else rng.uniform(0.86, 1.2)))
    tall = body.long + body.recess + 7.0
    px = min(height / tall, width / (2 * body.half + 3.6)) * rng.uniform(0.93, 1.0)
    turn = rng.gauss(0, 2.2 if body.portable else 1.0)
    matrix = cv2.getRotationMatrix2D((0.0, 0.0), turn, px)
    middle = (body.long + body.recess) / 2 - 0.6
    centre = matrix[:, :2] @ np.array([0.0, middle])
    matrix[:, 2] = (
        width / 2 - centre[0] + rng.gauss(0, 0.4) * px,
        height / 2 - centre[1] + rng.gauss(0, 0.35) * px,
    )
    return Canvas(height, width, matrix)


def _expose(
    canvas: Canvas, density: np.ndarray, rng: Random, noise: np.random.Generator, *, bedside: bool
) -> np.ndarray:
    """Return the image 0..1 of a density map. A bedside image has more scatter and more noise."""
    veil = 0.22 if bedside else 0.12
    image = (1 - veil) * density + veil * canvas.blur(density, 4.0)
    # the detector's software sharpens
    image += rng.uniform(0.1, 0.45) * (density - canvas.blur(density, 1.6))
    rough = rng.uniform(0.009, 0.018) * (1.5 if bedside else 1.0)
    specks = noise.standard_normal(density.shape, dtype=np.float32)
    # dense parts let fewer photons through
    image += rough * (0.5 + np.clip(density, 0, 1.4)) * specks
    image = cv2.GaussianBlur(image, (0, 0), 0.55 * canvas.height / 512 + 0.05)
    low, high = rng.uniform(-0.08, 0.12), rng.uniform(0.98, 1.2)
    image = np.clip((image - low) / (high - low), 0, 1) ** rng.uniform(0.75, 1.3)
    return image * image * (3 - 2 * image) * 0.35 + 0.65 * image  # toe and shoulder of the curve


def _collimate(image: np.ndarray, rng: Random) -> np.ndarray:
    """Return the image with unexposed borders, slightly rotated, on some of its edges."""
    height, width = image.shape
    if rng.random() < 0.5:
        return image
    margins = [rng.uniform(0, 0.035) if rng.random() < 0.6 else -0.1 for _ in range(4)]
    tilt = rng.uniform(-0.012, 0.012)
    left, top, right, bottom = margins
    corners = [
        (left, top + tilt),
        (1 - right - tilt, top),
        (1 - right, 1 - bottom),
        (left - tilt, 1 - bottom),
    ]
    mask = np.zeros(image.shape, np.uint8)
    points = np.array([(x * width, y * height) for x, y in corners]).round().astype(np.int32)
    cv2.fillConvexPoly(mask, points, (255,))
    beam = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)
    return image * beam + 0.02 * (1 - beam)


def _label_side(image: np.ndarray, rng: Random, *, lateral: bool, bedside: bool) -> np.ndarray:
    """Return the image with its lead letter: L at the right of a frontal view, R at the left."""
    height, width = image.shape
    letter = "L" if lateral else rng.choice("LLR")
    x = rng.uniform(0.9, 0.93) if letter == "L" and not lateral else rng.uniform(0.03, 0.06)
    spot = (round(x * width), round(rng.uniform(0.08, 0.2) * height))
    layer = np.zeros(image.shape, np.uint8)
    size = height / 512
    thick = max(1, round(2 * size))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(layer, letter, spot, font, 0.75 * size, (255,), thick, cv2.LINE_AA)
    if bedside:
        below = (max(2, spot[0] - round(34 * size * (letter == "L"))), spot[1] + round(16 * size))
        cv2.putText(layer, "PORTABLE", below, font, 0.28 * size, (200,), 1, cv2.LINE_AA)
    ink = layer.astype(np.float32) / 255
    return np.clip(image * (1 - ink) + 0.97 * ink, 0, 1)
