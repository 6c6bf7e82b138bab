"""Files written so that a reader sees the old ones or the new ones, never a mix.

A file: temporary name -> fsync -> rename. A folder: built in a staging folder beside it, published
by rename. A lock keeps a second run away from the same output.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.faults import ConfigError, LockedError
from pipelines.records import dumps


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` only when everything in it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file of lines, whole or not at all."""
    with replacing(path) as stream:
        for line in lines:
            stream.write(line.encode() + b"\n")


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file with sorted keys, for people and for diffs."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    write_lines(path, [text])


def read_json(path: Path) -> Any:
    """Return what a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_records(path: Path, records: Iterable[Any]) -> None:
    """Write records as JSON lines, in their one form."""
    write_lines(path, (dumps(record) for record in records))


def read_records(path: Path) -> Iterator[Any]:
    """Yield the rows of a JSON-lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_header(folder: Path, name: str, made_by: str) -> dict[str, Any]:
    """Return the JSON object of folder/name. Raises ConfigError that names the stage to run."""
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"no {name} in {folder}: run `python -m pipelines.{made_by}` first")
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def lock(output: Path) -> Iterator[None]:
    """Hold the output for this run; a second run is told who has it. Raises LockedError."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise LockedError(f"{output}: another run (process {holder}) is writing it") from None
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


@contextlib.contextmanager
def publishing(output: Path, owner: str) -> Iterator[Path]:
    """Yield an empty staging folder that becomes `output` when the block ends without an error.

    `owner` is the file that marks such an output; a folder that is not empty and holds none is
    somebody else's, and is refused rather than replaced. Raises ConfigError.
    """
    if output.exists() and any(output.iterdir()) and not (output / owner).exists():
        raise ConfigError(f"{output} is not empty and holds no {owner}: choose another --out")
    staging = output.with_name(f".{output.name}.staging")
    with lock(output):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        yield staging
        _swap(staging, output)


def _swap(staging: Path, output: Path) -> None:
    sync_folder(staging)
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        output.rename(old)
    staging.rename(output)
    sync_folder(output.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable, where the file system knows how."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """Return one digest of the names and bytes of the files right inside a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [f"{path.name}\0{sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
