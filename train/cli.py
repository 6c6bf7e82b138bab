"""What the commands of this room share at the terminal: exit codes, progress, tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cxr_vlp.pipelines.format import exit_codes
from cxr_vlp.train.errors import ConfigError, DataError


def guarded(work: Callable[[], None], stopped: str = "") -> int:
    """Run a command's work and return its exit code; a foreseen fault is one line on stderr.

    So is Ctrl-C: `stopped` says what becomes of the work that was done.
    """
    try:
        work()
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped{stopped and ': '}{stopped}\n")
        return exit_codes.STOPPED
    except ConfigError as error:
        return _fail(error, exit_codes.CONFIG)
    except DataError as error:
        return _fail(error, exit_codes.DATA)
    except OSError as error:
        return _fail(error, exit_codes.IO)
    return exit_codes.OK


def progress() -> Progress:
    """Return a progress bar on stderr, silent where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a small table to stdout."""
    drawn = Table(*columns, title=title, title_justify="left")
    for row in rows:
        drawn.add_row(*row)
    Console().print(drawn)


def note(line: str) -> None:
    """Write a line to stderr, about what is not as one may think."""
    sys.stderr.write(f"note: {line}\n")


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code
