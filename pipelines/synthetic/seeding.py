"""Random generators that depend on a key alone.

Every random choice of a synthetic tree is made with one of these, so a study does not depend on the
order, the number of workers or the number of other studies. The words of a key ("film", "cohort")
are part of the seed: changing one changes the bytes of every tree.
"""

from __future__ import annotations

import hashlib
from random import Random

import numpy as np


def stream(*key: str | int) -> Random:
    """Return a `random.Random` that depends on `key` alone."""
    return Random("|".join(map(str, key)))


def noise_stream(*key: str | int) -> np.random.Generator:
    """Return a numpy generator that depends on `key` alone; for whole arrays."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
