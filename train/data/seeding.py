"""Makes a random generator for each choice from (seed, epoch, key, purpose).

What is drawn for a sample depends on these four values alone. It does not depend on the worker that
reads the sample, on the order of the samples, or on what was drawn before. So one worker and eight
workers give the same crops and the same sentences.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def generator(seed: int, epoch: int, key: str, purpose: str) -> random.Random:
    """Return the generator of one choice (`purpose`: text, window, order ...) about one sample."""
    name = f"{seed}/{epoch}/{purpose}/{key}"
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


@contextmanager
def torch_seeded(rng: random.Random) -> Iterator[None]:
    """Seed torch's global generator from `rng` inside the block, and restore its state after it.

    torchvision's transforms draw from the global generator only.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(rng.getrandbits(63))
    try:
        yield
    finally:
        torch.set_rng_state(before)
