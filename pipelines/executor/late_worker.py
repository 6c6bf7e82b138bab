"""Silences a worker that starts after its pool was closed. Only the fork server imports this.

A pool is closed as soon as one call fails or the user stops the run. A worker that starts at that
moment cannot open the semaphores of the pool, and Python would print a traceback beside our
message.
"""

from __future__ import annotations

import sys
from multiprocessing import synchronize
from types import TracebackType


def is_late(error: BaseException) -> bool:
    """Return whether an exception comes from opening a semaphore that no longer exists."""
    frame = error.__traceback__
    files = []
    while frame is not None:
        files.append(frame.tb_frame.f_code.co_filename)
        frame = frame.tb_next
    return isinstance(error, FileNotFoundError) and files[-1:] == [synchronize.__file__]


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not is_late(error):
        sys.__excepthook__(kind, error, trace)


# The fork server imports this module before it forks; its children inherit the hook.
if sys.argv[:1] == ["-c"]:
    sys.excepthook = _hook
