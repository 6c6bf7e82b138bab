"""The ways a run can stop, each with the exit code the commands give for it.

A fault of one image or report is no exception: it is a coded `Reject` row (records.py) and the run
goes on. These exceptions stop a run; their messages name a file, a line, a code and the fix, and
never hold a cell's content, report text or a raw id.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.format import exit_codes

KEPT = "nothing was published, and what is finished is kept: the same command goes on from there"
SETTLE = 0.2  # seconds in which a signal that ended a worker also reaches the run


class Stop(Exception):  # noqa: N818 - it is what the command does, and it is not always an error
    """A reason to end the run, with the exit code and a message a user can act on."""

    exit_code = 1


class ConfigError(Stop):
    """Wrong arguments or parameters, or a root that is not such a collection. Exit 2."""

    exit_code = exit_codes.CONFIG


class DataError(Stop):
    """Too much bad data, or data that contradicts itself. Exit 65 (EX_DATAERR)."""

    exit_code = exit_codes.DATA


class StorageError(Stop):
    """A disk that is full, unreadable or read-only. Exit 74 (EX_IOERR)."""

    exit_code = exit_codes.IO


class LockedError(Stop):
    """Another run holds the lock on the output. Exit 75 (EX_TEMPFAIL)."""

    exit_code = exit_codes.LOCKED


class IngestError(Exception):
    """One element cannot be used; `code` says why. Becomes a Reject at the element boundary."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


BY_NAME = {c.__name__: c for c in (ConfigError, DataError, StorageError, LockedError)}

WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # only a write fails so


def as_stop(error: OSError) -> StorageError:
    """Return the StorageError of an OSError: what the system said, and the path without ids."""
    # a copy names where it reads first, and it is where it writes that is full
    name = (error.errno in WRITING and error.filename2) or error.filename or ""
    path = re.sub(r"\d{5,}", "...", str(name))  # raw trees name folders by patient
    where = f" ({path})" if path else ""
    return StorageError(f"{error.strerror or type(error).__name__}{where}")


def internal(error: BaseException, where: str = "") -> DataError:
    """Return the Stop of a fault of ours, without its message: that may quote what was read."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    said = f"{type(error).__name__}{at}{where and ', '}{where}"
    return DataError(f"internal: {said}: please report it")


def told(error: BaseException) -> Stop:
    """Return the Stop of an exception that a framework may have wrapped in others."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, Stop | OSError):
            return _stop_of(found)
    number = re.search(r"Error: \[Errno (\d+)\]", str(error))  # of another thread or machine: text
    if number:
        return as_stop(OSError(int(number[1]), os.strerror(int(number[1]))))
    return _stop_of(chain[-1])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it came from, the first of all last."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def run(main: Callable[[], int], kept: str = KEPT) -> int:
    """Run a command's `main` and return its exit code; what ends it is told on stderr.

    `kept` says what stays of the work so far; a user who stops the command reads it.
    """
    code, said = exit_codes.STOPPED, f"stopped: {kept}"
    with contextlib.suppress(KeyboardInterrupt), interrupts.listening(kept) as heard:
        code, said = _ended(main, heard)
        if heard.number:  # whatever came of it: also an error of a worker that the signal ended
            code, said = heard.code, heard.message
    if said:
        sys.stderr.write(f"{said}\n")
    return code


def _ended(main: Callable[[], int], heard: interrupts.Heard) -> tuple[int, str]:
    """Return the exit code and what there is to say."""
    try:
        return main(), ""
    except KeyboardInterrupt:
        return exit_codes.STOPPED, f"stopped: {heard.kept}"
    except interrupts.StoppedError:
        return heard.code, heard.message
    except Exception as error:  # a traceback would quote what was being read
        stop = _stop_of(error)
        if not heard.number:
            time.sleep(SETTLE)
        return stop.exit_code, f"error: {stop}"


def _stop_of(error: BaseException) -> Stop:
    if isinstance(error, Stop):
        return error
    return as_stop(error) if isinstance(error, OSError) else internal(error)
