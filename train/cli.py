"""What the commands of this package share: flags, exit codes, progress bar, tables.

Exit codes: 0 done, 2 wrong arguments or parameters, 65 unusable data, 74 disk, 130 stopped.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cxr_vlp.pipelines.format import exit_codes
from cxr_vlp.train import addresses
from cxr_vlp.train.config import params
from cxr_vlp.train.errors import ConfigError, DataError

CODES = (
    "Exit codes: 0 done, 2 wrong arguments or parameters, 65 unusable data, 74 disk full or "
    "unreadable, 130 stopped."
)


def parser(name: str, about: str, more: str = "") -> argparse.ArgumentParser:
    """Return the parser of a command; its help ends with `more` and the exit codes.

    `cxr-vlp NAME --help` adds an example (cxr_vlp.cli).
    """
    notes = [textwrap.fill(line, 79) for line in (*more.splitlines(), CODES)]
    return argparse.ArgumentParser(
        prog=f"cxr-vlp {name}",
        description=about,
        epilog="\n".join(notes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def path_flag(parser: argparse.ArgumentParser, name: str, about: str, **more: str) -> None:
    """Add a required flag that takes a path of this machine."""
    metavar = more.get("metavar", "DIR")
    parser.add_argument(name, type=addresses.path, required=True, metavar=metavar, help=about)


def shards_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--shards`: one or more sets, or folders of sets; and where fetched tars are kept.

    The command calls `shards_here` before it reads them.
    """
    add_shards(parser, required=True)


def add_shards(parser: argparse.ArgumentParser, *, required: bool, more: str = "") -> None:
    """Add `--shards` and the flags of the cache; `more` is added to the help."""
    parser.add_argument(
        "--shards",
        type=addresses.shards,
        nargs="+",
        required=required,
        default=[],
        metavar="DIR",
        help="sets of shards (folders with train/, validate/, test/), or folders that hold sets; "
        f"also on an object store (s3://BUCKET/FOLDER){more}",
    )
    addresses.cache_flags(parser)


def shards_here(arguments: argparse.Namespace) -> None:
    """Replace addresses in `--shards` by folders of this machine, which stand for the sets there.

    Raises ConfigError, DataError and StoreError as `addresses.here`.
    """
    if any(isinstance(each, str) for each in arguments.shards):
        arguments.shards = addresses.here(arguments.shards, addresses.cache_of(arguments))


def params_flag(parser: argparse.ArgumentParser, section: str) -> None:
    """Add `--params`: the params file, whose `section` the command uses."""
    parser.add_argument(
        "--params",
        type=addresses.path,
        metavar="FILE",
        default=params.default_path(),
        help=f"YAML file with a section `{section}` (default: params.yaml if it exists)",
    )


def compute_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--workers` and `--threads`."""
    parser.add_argument(
        "--workers",
        type=non_negative,
        default=0,
        metavar="N",
        help="processes that read shards (default: 0, the command's own process)",
    )
    parser.add_argument(
        "--threads",
        type=non_negative,
        default=0,
        metavar="N",
        help="torch threads (default: 0, which means OMP_NUM_THREADS, else the usable cores)",
    )


def non_negative(text: str) -> int:
    """Return a whole number of the command line that is not below 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def positive(text: str) -> int:
    """Return a whole number of the command line that is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def guarded(work: Callable[[], None], stopped: str = "") -> int:
    """Run a command's work and return its exit code; an expected error is one line on stderr.

    Ctrl-C is one line too: `stopped` says what happens to the work that is done.
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
    """Write a note to stderr: something the user may not expect."""
    sys.stderr.write(f"note: {line}\n")


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code
