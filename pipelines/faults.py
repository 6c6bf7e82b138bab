"""The ways a run can stop, each with the exit code the commands give for it.

A fault of one image or report is no exception: it is a coded `Reject` row (records.py) and the run
goes on. These exceptions stop a run; their messages name a file, a line, a code and the fix, and
never hold a cell's content, report text or a raw id.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable


class Stop(Exception):  # noqa: N818 - it is what the command does, and it is not always an error
    """A reason to end the run, with the exit code and a message a user can act on."""

    exit_code = 1


class ConfigError(Stop):
    """Wrong arguments or parameters, or a root that is not such a collection. Exit 2."""

    exit_code = 2


class DataError(Stop):
    """Too much bad data, or data that contradicts itself. Exit 65 (EX_DATAERR)."""

    exit_code = 65


class StorageError(Stop):
    """A disk that is full, unreadable or read-only. Exit 74 (EX_IOERR)."""

    exit_code = 74


class LockedError(Stop):
    """Another run holds the lock on the output. Exit 75 (EX_TEMPFAIL)."""

    exit_code = 75


class IngestError(Exception):
    """One element cannot be used; `code` says why. Becomes a Reject at the element boundary."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


BY_NAME = {c.__name__: c for c in (ConfigError, DataError, StorageError, LockedError)}


def as_stop(error: OSError) -> StorageError:
    """Return the StorageError of an OSError: what the system said, and the path without ids."""
    path = re.sub(r"\d{5,}", "...", str(error.filename or ""))  # raw trees name folders by patient
    where = f" ({path})" if path else ""
    return StorageError(f"{error.strerror or type(error).__name__}{where}")


def run(main: Callable[[], int]) -> None:
    """Run a command's `main`, turning a Stop into its message on stderr and its exit code."""
    try:
        code = main()
    except Stop as stop:
        sys.stderr.write(f"error: {stop}\n")
        code = stop.exit_code
    except OSError as error:
        sys.stderr.write(f"error: {as_stop(error)}\n")
        code = StorageError.exit_code
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
