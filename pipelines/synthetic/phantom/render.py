"""Drawn chest X-rays: a study and a view go in, a film and the boxes of its findings come out.

These pictures let anybody run the whole chain without a data use agreement. They are drawings: a
model trained on them has learned to read this file, not patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from cxr_vlp.pipelines.synthetic.patients import Study
from cxr_vlp.pipelines.synthetic.phantom.anatomy import Chest, chest
from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas
from cxr_vlp.pipelines.synthetic.phantom.exposure import collimate, expose, label_side
from cxr_vlp.pipelines.synthetic.phantom.frontal import frontal
from cxr_vlp.pipelines.synthetic.phantom.lateral import lateral
from cxr_vlp.pipelines.synthetic.seeding import noise_stream, stream


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One film. `pixels` is float32 (height, width) in 0..1, bright = dense (MONOCHROME2).

    `boxes` holds (label, x, y, w, h) in pixels, for findings that have a place of their own.
    """

    pixels: np.ndarray
    boxes: tuple[tuple[str, float, float, float, float], ...]


def draw(study: Study, view: str, *, height: int = 512, seed: int) -> Drawn:
    """Return the film of `study` in `view` ("PA", "AP" or "LATERAL").

    The person's build depends on the patient alone, so the films of one patient resemble each other
    as they should; exposure, rotation and breath depend on the study.
    """
    key = (seed, study.source, study.patient, study.number, view)
    dice, grain = stream("film", *key), noise_stream("film", *key)
    body = chest(study, view, seed)
    side_on = view == "LATERAL"
    canvas = _canvas(body, dice, height, side_on)
    density, boxes = (lateral if side_on else frontal)(study, view, canvas, body, seed)
    film = expose(canvas, density.astype(np.float32), dice, grain, bedside=body.portable)
    film = collimate(label_side(film, dice, lateral=side_on, bedside=body.portable), dice)
    return Drawn(np.clip(film, 0, 1).astype(np.float32), boxes)


def _canvas(body: Chest, dice: Random, height: int, side_on: bool) -> Canvas:
    """Return the film's canvas: how large, how far, how straight the patient was placed."""
    width = round(height * (dice.uniform(0.83, 0.98) if side_on else dice.uniform(0.86, 1.2)))
    tall = body.long + body.recess + 7.0
    px = min(height / tall, width / (2 * body.half + 3.6)) * dice.uniform(0.93, 1.0)
    turn = dice.gauss(0, 2.2 if body.portable else 1.0)
    matrix = cv2.getRotationMatrix2D((0.0, 0.0), turn, px)
    middle = (body.long + body.recess) / 2 - 0.6
    centre = matrix[:, :2] @ np.array([0.0, middle])
    matrix[:, 2] = (
        width / 2 - centre[0] + dice.gauss(0, 0.4) * px,
        height / 2 - centre[1] + dice.gauss(0, 0.35) * px,
    )
    return Canvas(height, width, matrix)
