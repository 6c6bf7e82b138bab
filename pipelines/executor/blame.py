"""Finds the image that ended a worker, so that the image is excluded and its part is done again.

A decoder that crashes or hangs takes its process with it. The record of the worker (worker.py) says
which image it was decoding. If the system killed the worker (out of memory), no image is to blame.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.pipelines.executor import worker
from cxr_vlp.pipelines.executor.worker import Record

KILLED = (-signal.SIGKILL, -signal.SIGTERM)


@dataclass
class ImageBlame:
    """Watches the worker of one part, and excludes the images that ended it."""

    record: Path  # the record of the part's worker
    timeout: float  # seconds for one image
    excluded: dict[str, str] = field(default_factory=dict)  # key hash -> code of its reject
    _seen: Record | None = None
    _since: float = 0.0
    _slow: bool = False  # the worker was ended because its image took too long

    def exclude(self, exit_code: int) -> bool:
        """Exclude the image of a worker that died; False if no image is to blame."""
        last, slow = Record.read(self.record), self._slow
        self._slow, self._seen = False, None
        if last is None or not last.image or (exit_code in KILLED and not slow):
            return False
        self.excluded[last.image] = "decode.timeout" if slow else "decode.crash"
        self.record.unlink(missing_ok=True)
        return True

    def end_slow_worker(self) -> None:
        """Kill the worker if it has been decoding one image for longer than the timeout.

        A step of the worker since the last look is counted (worker.steps).
        """
        now = time.monotonic()  # unlike file times, it does not advance while the machine sleeps
        last = Record.read(self.record)
        if last != self._seen:
            worker.count_step()
            self._seen, self._since = last, now
        elif last is not None and last.image and now - self._since > self.timeout:
            self._slow = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(last.worker, signal.SIGKILL)
