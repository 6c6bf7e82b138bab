"""Functions that the commands share: flags, checks of folders, the table printed at the end."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.cache.store import under_dvc
from cxr_vlp.pipelines.engines import flags as engine_flags
from cxr_vlp.pipelines.engines.base import RunSettings
from cxr_vlp.pipelines.engines.flags import Choice
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.executor.pool import IMAGE_TIMEOUT
from cxr_vlp.pipelines.files import jsonl, privacy
from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.format.remote import addresses
from cxr_vlp.pipelines.storage import publication
from cxr_vlp.pipelines.storage.place import is_remote, place

WORKERS = "CXR_WORKERS"  # the variable with the default of --workers
MOST_WORKERS = 1_000_000
STAGES = (  # at the end of their help
    "A DIR may also be an address of an object store, s3://BUCKET/FOLDER "
    "(docs/object-storage.md). Beam's own flags are accepted too (--runner, --job_endpoint, ...). "
)


def parser(
    name: str,
    about: str,
    *,
    source: bool = True,
    stage: bool = True,
    optional: bool = False,
    workers: str = "processes",
) -> argparse.ArgumentParser:
    """Return a parser with the flags that commands share. A stage also accepts Beam's flags.

    `source`: the command is about one collection, and only such a command is a stage. `optional`:
    the command line may leave the collection out. `workers`: what --workers is the number of.
    """
    stage = stage and source
    made = argparse.ArgumentParser(
        prog=f"cxr-vlp {name}",
        description=about,
        epilog=f"{STAGES if stage else ''}Exit codes: 0 done, 2 wrong arguments or parameters, 65 "
        f"too much bad data, {'69 the engine failed, ' if stage else ''}74 a disk or a store "
        "failed, 75 another run is writing the same output, 130 stopped.",
        allow_abbrev=False,
    )
    if source:
        _add_source_flags(made, stage=stage, optional=optional)
    if stage:
        _add_stage_flags(made)
    # not a parameter and not in dvc.yaml, because the number of processes changes no byte
    made.add_argument(
        "--workers",
        type=_workers,
        default=os.environ.get(WORKERS) or "1",
        metavar="N",
        help=f"{workers} (default: $CXR_WORKERS, else 1)",
    )
    made.add_argument(
        "--params",
        type=local_paths.path,
        metavar="FILE",
        help="parameters (default: params.yaml if it exists)",
    )
    return made


def _add_source_flags(made: argparse.ArgumentParser, *, stage: bool, optional: bool) -> None:
    made.add_argument(
        "source",
        nargs="?" if optional else None,
        help=f"which collection: {', '.join(sorted(sources.names()))}, or the name of your own",
    )
    made.add_argument(
        "--root",
        type=raw_root,
        metavar="DIR",
        help="the raw tree, as downloaded (default: sources.SOURCE.root of the parameters)",
    )
    made.add_argument(
        "--state",
        type=stored if stage else folder,
        default=".cxr",
        metavar="DIR",
        help="the cache of earlier runs, so that a run rebuilds only what a change affects "
        "(default: .cxr); it may be deleted at any time",
    )


def _add_stage_flags(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--shrink",
        action="store_true",
        help="allow a set to replace one with more than twice as many samples",
    )
    engine_flags.add(made)


def parse_stage(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, Choice]:
    """Return the parsed flags of a stage, and the engine that they choose. Raises ConfigError."""

    def known_flags() -> set[str]:
        # imported here because Beam takes a second to import, and few command lines need it
        from cxr_vlp.pipelines.engines import beam_engine

        return beam_engine.known_flags()

    flags, choice = engine_flags.parse(parser, arguments, known_flags)
    _find_inputs(flags)
    return flags, choice


def _find_inputs(flags: argparse.Namespace) -> None:
    """Replace the inputs that are in object stores by the folders that hold their files now."""
    for name, owner in (("scan", "inventory.json"), ("texts", "texts.json")):
        if (given := getattr(flags, name, None)) is not None:
            setattr(flags, name, publication.folder_of(given, owner))


def run_settings(
    stage: str, flags: argparse.Namespace, staging: Path, *preload: str, root: str = ""
) -> RunSettings:
    """Return how a stage runs, from its flags. Call it inside privacy.protecting: for the umask.

    `preload` names the modules that the workers need; `root` is the raw tree.
    """
    given = [getattr(flags, name, None) for name in ("scan", "texts")]
    reads = tuple(str(folder) for folder in (*given, root or None) if folder is not None)
    return RunSettings(
        stage=stage,
        source=flags.source,
        workers=flags.workers,
        state=flags.state,
        results=staging / ".results",
        image_timeout=getattr(flags, "image_timeout", IMAGE_TIMEOUT),
        stalled=flags.stalled,
        umask=privacy.current(),
        preload=preload,
        reads=reads,
        inputs=_inputs(flags),
    )


def _inputs(flags: argparse.Namespace) -> str:
    """Return the digest of the headers of the stages before; "" if they do not decide it all.

    The header of an inventory has the digest of each of its parts.
    """
    headers = [
        folder / name
        for folder, name in (
            (getattr(flags, "scan", None), "inventory.json"),
            (getattr(flags, "texts", None), "texts.json"),
        )
        if folder is not None
    ]
    if not headers or "files" not in (jsonl.glimpse(headers[0]) or {}):
        return ""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in headers)).hexdigest()


def folders(parser: argparse.ArgumentParser, **about: str) -> None:
    """Add a required flag for each folder; the keyword's value is the help text."""
    for name, what in about.items():
        parser.add_argument(f"--{name}", type=folder, required=True, metavar="DIR", help=what)


def places(parser: argparse.ArgumentParser, **about: str) -> None:
    """Add a required flag for each folder that may be in an object store, as `folders` does."""
    for name, what in about.items():
        parser.add_argument(f"--{name}", type=stored, required=True, metavar="DIR", help=what)


def same_source(header: Mapping[str, Any], source: str, folder: Path) -> None:
    """Refuse the output of another collection's stage. Raises ConfigError."""
    if header["source"] != source:
        raise ConfigError(f"{folder} holds {header['source']}, not {source}")


def own_folder(out: Path, header: str, source: str) -> None:
    """Refuse an output folder that holds another collection's output, a selection, or damage.

    Raises ConfigError.
    """
    path = out / header
    if not path.is_file():
        return
    held = jsonl.glimpse(path)
    found = held.get("source") if isinstance(held, dict) else None
    if not isinstance(found, str):  # not replaced, because nobody knows whose output it is
        raise ConfigError(f"{path} is damaged: remove {out}, or choose another --out")
    if found != source:
        raise ConfigError(f"{out} holds {found}: give every collection a folder of its own")
    if "selection" in held:
        raise ConfigError(
            f"{out} holds a selection of {found}, which cxr-vlp select wrote: choose another --out,"
            " or remove it"
        )


def folder(text: str) -> Path:
    """Return a folder of the command line as an absolute path; workers may run elsewhere."""
    return local_paths.path(text).absolute()


def stored(text: str) -> Path:
    """Return a folder of the command line that may be in an object store (`s3://bucket/folder`)."""
    found = addresses.flag(text)
    return place(found) if isinstance(found, str) else found.absolute()


def local_state(state: Path) -> Path:
    """Return the folder for what only a disk can hold of a state folder: SQLite files and logs.

    For a state folder in an object store it is `.cxr` in the working directory, as by default.
    """
    return Path(".cxr").absolute() if is_remote(state) else state


def raw_root(text: str) -> str:
    """Return the raw root of the command line unchanged: a folder, or an address of a store.

    Raises ArgumentTypeError for any other address.
    """
    addresses.flag(text)
    return text


def print_dvc_commit(stage: str, source: str, out: Path) -> None:
    """Print how to record an output that was made without DVC, if this is a DVC project."""
    if under_dvc() or not Path("dvc.yaml").is_file():
        return
    if out != Path("data", stage, source).absolute():
        return
    say(f"to record it in DVC (else `dvc repro` makes it again): dvc commit -f {stage}@{source}")


def _workers(text: str) -> int:
    short = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_WORKERS))
    if short and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    given = f" (it is {text[:20]!r} in the variable {WORKERS})" if _from_variable(text) else ""
    raise argparse.ArgumentTypeError(f"must be a number from 1 to {MOST_WORKERS:,}{given}")


def _from_variable(text: str) -> bool:
    """Return whether a number of workers is that of the environment, and of no flag."""
    words = (word.partition("=")[0] for word in sys.argv)
    return text == os.environ.get(WORKERS) and "--workers" not in words


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(line + "\n")


def codes_in(header: Mapping[str, Any], step: str = "") -> list[str]:
    """Return the codes in a header: of rejects (of a step, or of all steps) and of notes."""
    lost = [reason.split(maxsplit=1) for reason in header["dropped"]]
    return [code for at, code in lost if step in ("", at)] + list(header.get("notes", ()))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers are aligned to the right."""
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], int | float) for row in rows)
        table.add_column(column, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in row))
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(f"[bold]{title}[/bold]")
    console.print(table)
