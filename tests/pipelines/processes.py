"""What tests ask of processes: whether one runs, and to wait until something is true."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 240.0  # seconds; it ends a test that would hang, and judges no time


def until(
    true: Callable[[], object], what: str = "waited in vain", patience: float = PATIENCE
) -> None:
    """Wait until something is true; fail with `what` after some seconds."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
