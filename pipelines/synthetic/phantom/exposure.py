"""From a map of density to a film: scatter, noise, tone, collimation and the burned-in marker."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from cxr_vlp.pipelines.synthetic.phantom.canvas import Canvas


def expose(
    canvas: Canvas, density: np.ndarray, dice: Random, grain: np.random.Generator, *, bedside: bool
) -> np.ndarray:
    """Return the film 0..1 of a density map; a bedside film has more scatter and more noise."""
    veil = 0.22 if bedside else 0.12
    film = (1 - veil) * density + veil * canvas.blur(density, 4.0)
    film += dice.uniform(0.1, 0.45) * (
        density - canvas.blur(density, 1.6)
    )  # the plate's own software
    rough = dice.uniform(0.009, 0.018) * (1.5 if bedside else 1.0)
    noise = grain.standard_normal(density.shape, dtype=np.float32)
    film += (
        rough * (0.5 + np.clip(density, 0, 1.4)) * noise
    )  # dense parts let fewer photons through
    film = cv2.GaussianBlur(film, (0, 0), 0.55 * canvas.height / 512 + 0.05)
    low, high = dice.uniform(-0.08, 0.12), dice.uniform(0.98, 1.2)
    film = np.clip((film - low) / (high - low), 0, 1) ** dice.uniform(0.75, 1.3)
    return film * film * (3 - 2 * film) * 0.35 + 0.65 * film  # toe and shoulder of the curve


def collimate(film: np.ndarray, dice: Random) -> np.ndarray:
    """Return the film with unexposed borders, a little turned, on some of its edges."""
    height, width = film.shape
    if dice.random() < 0.5:
        return film
    margins = [dice.uniform(0, 0.035) if dice.random() < 0.6 else -0.1 for _ in range(4)]
    tilt = dice.uniform(-0.012, 0.012)
    left, top, right, bottom = margins
    corners = [
        (left, top + tilt),
        (1 - right - tilt, top),
        (1 - right, 1 - bottom),
        (left - tilt, 1 - bottom),
    ]
    mask = np.zeros(film.shape, np.uint8)
    points = np.array([(x * width, y * height) for x, y in corners]).round().astype(np.int32)
    cv2.fillConvexPoly(mask, points, (255,))
    beam = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)
    return film * beam + 0.02 * (1 - beam)


def label_side(film: np.ndarray, dice: Random, *, lateral: bool, bedside: bool) -> np.ndarray:
    """Return the film with its lead letter: L at the right of a frontal picture, R at the left."""
    height, width = film.shape
    letter = "L" if lateral else dice.choice("LLR")
    x = dice.uniform(0.9, 0.93) if letter == "L" and not lateral else dice.uniform(0.03, 0.06)
    spot = (round(x * width), round(dice.uniform(0.08, 0.2) * height))
    layer = np.zeros(film.shape, np.uint8)
    size = height / 512
    thick = max(1, round(2 * size))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(layer, letter, spot, font, 0.75 * size, (255,), thick, cv2.LINE_AA)
    if bedside:
        below = (max(2, spot[0] - round(34 * size * (letter == "L"))), spot[1] + round(16 * size))
        cv2.putText(layer, "PORTABLE", below, font, 0.28 * size, (200,), 1, cv2.LINE_AA)
    ink = layer.astype(np.float32) / 255
    return np.clip(film * (1 - ink) + 0.97 * ink, 0, 1)
