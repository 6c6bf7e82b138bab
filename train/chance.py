"""A seed, an epoch, a key and a purpose come in, a random generator of their own goes out.

Whatever is drawn for a sample depends on these four alone: not on the worker that reads it, the
order it comes in, or what was drawn before. So one worker or eight see the same crops and the
same sentences.
"""

from __future__ import annotations

import hashlib
import random


def chance(seed: int, epoch: int, key: str, purpose: str) -> random.Random:
    """Return the generator for one choice (`purpose`: text, window, order ...) about one sample."""
    name = f"{seed}/{epoch}/{purpose}/{key}"
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
