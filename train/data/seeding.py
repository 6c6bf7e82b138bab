"""A seed, an epoch, a key and a purpose come in, a random generator of their own goes out.

Whatever is drawn for a sample depends on these four alone: not on the worker that reads it, the
order it comes in, or what was drawn before. So one worker or eight see the same crops and the
same sentences.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def chance(seed: int, epoch: int, key: str, purpose: str) -> random.Random:
    """Return the generator for one choice (`purpose`: text, window, order ...) about one sample."""
    name = f"{seed}/{epoch}/{purpose}/{key}"
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


@contextmanager
def lent(rng: random.Random) -> Iterator[None]:
    """Let torch's own generator follow from `rng` within the block, and give it back as it was.

    torchvision's transforms draw from it and from no other.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(rng.getrandbits(63))
    try:
        yield
    finally:
        torch.set_rng_state(before)
