"""What the commands of this room share at the terminal: exit codes, progress, tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from train.errors import ConfigError, DataError

OK, CONFIG, DATA, IO = 0, 2, 65, 74


def guarded(work: Callable[[], None]) -> int:
    """Run a command's work and return its exit code; a foreseen fault is one line on stderr."""
    try:
        work()
    except ConfigError as error:
        return _fail(error, CONFIG)
    except DataError as error:
        return _fail(error, DATA)
    except OSError as error:
        return _fail(error, IO)
    return OK


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


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code
