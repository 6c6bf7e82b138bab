"""Ends a run that makes no progress, with a message that says what was waiting.

Nothing here waits for another process without a limit: a paused service accepts connections and
never answers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cxr_vlp.pipelines.errors import KEPT, EngineError

ASKED = 10.0  # seconds for a request whose answer is not needed


def ask(request: Callable[[], object], seconds: float = ASKED) -> bool:
    """Make a request to another process, and go on if it fails; return whether it was answered.

    Nobody waits longer than some seconds.
    """

    def made() -> None:
        with contextlib.suppress(Exception):  # the other process may be gone
            request()

    asking = threading.Thread(target=made, daemon=True)
    asking.start()
    asking.join(seconds)
    return not asking.is_alive()


@dataclass
class Watch:
    """How far a run is, and when it last moved."""

    stalled: float  # seconds
    wanted: int
    done: int = 0
    _finished: float = field(default_factory=time.monotonic)  # when the last element was finished
    _moved: float = field(default_factory=time.monotonic)  # when anything moved

    def progress(self) -> None:
        """Note that an element is finished."""
        self.done += 1
        self._finished = self._moved = time.monotonic()

    def moved(self) -> None:
        """Note that a worker took another step in its element."""
        self._moved = time.monotonic()

    def check(self, begun: Sequence[str] = ()) -> None:
        """Raise EngineError if nothing moved for `stalled` seconds; `begun`: what workers do."""
        now = time.monotonic()
        if now - self._moved <= self.stalled:
            return
        what = f"{', '.join(begun[:3])} are begun: look at their workers" if begun else (
            "no worker has begun anything: look whether workers are started and free"
        )  # fmt: skip
        raise EngineError(
            f"engine.stalled: nothing finished for {now - self._finished:.0f} seconds, {self.done} "
            f"of {self.wanted} done; {what}, or give more time with --stalled; {KEPT}"
        )
