"""Trusts a file that did not change since its bytes were hashed: same size, time and inode.

A change by any program moves the time or, if the file is replaced, the inode. A file whose time was
set back after a change in place is not noticed here: `verify` hashes every file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import is_remote

FOLDER = "receipts"  # its name since version 0.1: another name would lose every user's cache

Identity = tuple[int, str]  # size in bytes, and what a store or disk changes with each write


def of(path: Path) -> Identity | None:
    """Return the identity of a file, None if there is none.

    On a disk it is made of the time and the inode. In a store it is the ETag, from a listing of the
    folder that is asked for once in a run (`forget`).
    """
    if is_remote(path):
        found = _listed(path.parent).get(path.name)
        return None if found is None else (found.size, found.identity)
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_size, f"{now.st_mtime_ns}-{now.st_ino}"


def forget() -> None:
    """Have the folders of stores listed again: a run begins."""
    _listed.cache_clear()


@lru_cache(maxsize=64)
def _listed(folder: Path) -> dict[str, objects.Found]:
    return {found.name: found for found in objects.listing(folder)}


def read(path: Path) -> tuple[bytes, str]:
    """Return a file's bytes and their sha256."""
    data = path.read_bytes()
    return data, hashlib.sha256(data).hexdigest()


@dataclass
class FileDigests:
    """The sha256 of parts of inventories and texts: of files that were written here, or hashed."""

    path: Path  # STATE/receipts/SOURCE.files
    _known: dict[str, list[object]] = field(default_factory=dict)  # path -> size, tag, sha256
    _changed: bool = False

    @classmethod
    def of_source(cls, state: Path, source: str) -> FileDigests:
        """Return what earlier runs know of the files of a source."""
        path = state / FOLDER / f"{source}.files"
        known = None if is_remote(path) else row_digest.read(path)
        return cls(path, known if isinstance(known, dict) else {})

    def record(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Note and save the digests of parts that this run has just written to a folder."""
        for name, digest in digests.items():
            self._note(folder / f"{name}.jsonl", of(folder / f"{name}.jsonl"), digest)
        self.save()

    def of_parts(
        self, folder: Path, names: Sequence[str], recorded: Mapping[str, str], made_by: str
    ) -> dict[str, str]:
        """Return part -> sha256 of folder/PART.jsonl.

        `recorded`: part -> sha256 by the folder's header. It counts for an object store only, whose
        published files never change; a file of this machine may have been edited.
        Raises ConfigError, which names the stage to run, if a part has no file.
        """
        try:
            return dict(self._of_parts(folder, names, recorded))
        except FileNotFoundError as error:
            raise ConfigError(
                f"no {Path(str(error.filename)).name} in {folder}: run `cxr-vlp {made_by}` again"
            ) from None

    def _of_parts(
        self, folder: Path, names: Sequence[str], recorded: Mapping[str, str]
    ) -> Iterator[tuple[str, str]]:
        remote = is_remote(folder)
        for name in names:
            path = folder / f"{name}.jsonl"
            yield name, recorded[name] if remote and name in recorded else self.sha256(path)

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file; it is read only if it is not the file of the last time."""
        before = of(path)
        row = self._known.get(str(path))
        if before is not None and row is not None and row[:2] == list(before):
            return str(row[2])
        digest = jsonl.sha256(path)
        if of(path) == before:  # else it changes now: hash it the next time too
            self._note(path, before, digest)
        return digest

    def _note(self, path: Path, found: Identity | None, digest: str) -> None:
        if found is not None and not is_remote(path):
            self._changed |= self._known.get(str(path)) != [*found, digest]
            self._known[str(path)] = [*found, digest]

    def save(self) -> None:
        """Write what is known of the files that are still there, if something is new."""
        if self._changed and not is_remote(self.path):
            there = {path: row for path, row in self._known.items() if Path(path).exists()}
            row_digest.write(self.path, there)
