"""Writes files atomically (a reader sees the old file or the new one), reads JSON and JSON lines.

A file is written under a temporary name, synced to the disk and renamed. An object of a store is
written to a temporary file of this machine (in $TMPDIR) and put as a whole. For whole folders see
atomic_dir.py.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.records import dumps
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import is_remote

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` only when all of it is on the disk, or in the store."""
    if is_remote(path):
        with _uploading(path) as stream:
            yield stream
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # with the process id: a worker that outlives a killed run may still be writing its own file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL:
            error.filename = str(path)  # the error of a failed write does not name the file
        raise


@contextlib.contextmanager
def _uploading(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is put to a store when the block ends without an error."""
    try:
        with tempfile.NamedTemporaryFile(prefix="cxr-vlp-") as stream:
            yield cast(BinaryIO, stream)
            stream.flush()
            objects.put_file(Path(stream.name), path)
    except OSError as error:
        if error.errno in FULL:
            error.filename = tempfile.gettempdir()  # it is this disk that is full
        raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file of lines, completely or not at all."""
    with replacing(path) as stream:
        for line in lines:
            stream.write(line.encode() + b"\n")


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file with sorted keys, for people and for diffs."""
    with replacing(path) as stream:
        stream.write(json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return the bytes that `write_json` writes for a value."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_records(path: Path, records: Iterable[Any]) -> None:
    """Write records as JSON lines, in the form of `records.dumps`."""
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
        raise ConfigError(f"no {name} in {folder}: run `cxr-vlp {made_by}` first")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "source" not in found:  # each of our headers names its source
        raise ConfigError(f"{path} is damaged: run `cxr-vlp {made_by}` again")
    return found


def glimpse(path: Path) -> Any:
    """Return the JSON of a .jsonl file's first line or of another whole file; None if it has none.

    For files that may be damaged: a damaged header counts as absent.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        text = path.read_text(encoding="utf-8")
        return json.loads(text.split("\n", 1)[0] if path.suffix == ".jsonl" else text)
    return None


class Md5(io.RawIOBase):
    """A stream that passes bytes on and computes their MD5, the name of a file in DVC's cache."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: Any) -> int:
        """Pass bytes on."""
        self._md5.update(data)
        return self._stream.write(data)

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        return self._md5.hexdigest()


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
