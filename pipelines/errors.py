"""The exceptions that stop a run, each with the exit code of the command.

A fault of one image or report does not stop a run: it becomes a `Reject` row with a code
(records.py). The messages of these exceptions name a file, a line, a code and the fix; they never
contain a cell's content, report text or a raw id.
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
from cxr_vlp.pipelines.format.remote import faults

KEPT = "nothing was published; finished parts are kept, and the same command continues from them"
SIGNAL_DELAY = 0.2  # seconds in which a signal that ended a worker also reaches the run


class Stop(Exception):  # noqa: N818 - a locked output, for example, is not an error
    """A reason to stop the run, with the exit code and a message that says what to do."""

    exit_code = 1


class ConfigError(Stop):
    """Wrong arguments or parameters, or a root that is not the collection. Exit 2."""

    exit_code = exit_codes.CONFIG


class DataError(Stop):
    """Too much bad data, or data that contradicts itself. Exit 65 (EX_DATAERR)."""

    exit_code = exit_codes.DATA


class EngineError(Stop):
    """An engine that cannot start, lost its workers, or makes no progress. Exit 69."""

    exit_code = exit_codes.UNAVAILABLE


class StorageError(Stop):
    """A disk that is full, unreadable or read-only; an object store that fails. Exit 74."""

    exit_code = exit_codes.IO


class LockedError(Stop):
    """Another run holds the lock on the output. Exit 75 (EX_TEMPFAIL)."""

    exit_code = exit_codes.LOCKED


class IngestError(Exception):
    """One image or report cannot be used; `code` says why. The caller turns it into a Reject."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


BY_NAME = {c.__name__: c for c in (ConfigError, DataError, EngineError, StorageError, LockedError)}

WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # errors of writes only


def as_stop(error: OSError) -> StorageError:
    """Return the StorageError of an OSError: the system's message, and the path without ids."""
    # a failed copy names its source first, but a full disk is that of its target
    name = (error.errno in WRITE_ERRORS and error.filename2) or error.filename or ""
    path = re.sub(r"\d{5,}", "...", str(name))  # raw trees name folders by patient
    where = f" ({path})" if path else ""
    return StorageError(f"{error.strerror or type(error).__name__}{where}")


def internal(error: BaseException, where: str = "") -> DataError:
    """Return the Stop of a bug, without the exception's message, which may quote report text."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    text = f"{type(error).__name__}{at}{where and ', '}{where}"
    return DataError(f"internal: {text}: please report it")


def unwrapped(error: BaseException) -> Stop:
    """Return the Stop of an exception that a framework may have wrapped in others."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, Stop | OSError):
            return _stop_of(found)
    if text := faults.message(error):
        return StorageError(text)
    # an error of another thread or machine arrives as text
    number = re.search(r"Error: \[Errno (\d+)\]", str(error))
    if number:
        return as_stop(OSError(int(number[1]), os.strerror(int(number[1]))))
    return _stop_of(chain[-1])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, the original exception last."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def run(main: Callable[[], int], kept: str = KEPT) -> int:
    """Run a command's `main`; print the reason if it stops, and return the exit code.

    `kept` says what remains of the work so far; it is printed if the user stops the command.
    """
    code, message = exit_codes.STOPPED, f"stopped: {kept}"
    with contextlib.suppress(KeyboardInterrupt), interrupts.handling(kept) as command:
        code, message = _outcome(main, command)
        if command.number:  # the signal counts, even if a worker that it ended caused an error
            code, message = command.code, command.message
    if message:
        sys.stderr.write(f"{message}\n")
    return code


def _outcome(main: Callable[[], int], command: interrupts.RunningCommand) -> tuple[int, str]:
    """Run `main`; return the exit code and the message."""
    try:
        _check_here()
        return main(), ""
    except KeyboardInterrupt:
        return exit_codes.STOPPED, f"stopped: {command.kept}"
    except interrupts.StoppedError:
        return command.code, command.message
    except Exception as error:  # a traceback would quote what was read
        stop = _stop_of(error)
        if not command.number:
            time.sleep(SIGNAL_DELAY)
        return stop.exit_code, f"error: {stop}"


def _check_here() -> None:
    """Raise ConfigError if the working directory was removed: every relative path would fail."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError(
            "the working directory has been removed: change to a folder that exists (cd), and run "
            "again"
        ) from None


def _stop_of(error: BaseException) -> Stop:
    if isinstance(error, Stop):
        return error
    if text := faults.message(error):
        return StorageError(text)
    return as_stop(error) if isinstance(error, OSError) else internal(error)
