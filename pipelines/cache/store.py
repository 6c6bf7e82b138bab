"""Finds finished files of earlier runs and puts them in place without reading them.

Four places are searched: the staging folder of a killed run, the old output, the hard link in the
state folder, and DVC's cache (by md5). The hard link, which needs no disk space, is for the case
that DVC deletes the output before it runs the stage, and does not have it in its cache because the
stage was last run by hand. A finished file is never written to in place, under any of its names.

A file whose identity (identity.py) is in the entry is trusted; any other file is hashed before it
is used, and its identity is returned for the entry. A damaged copy is ignored; in DVC's cache it is
removed, because DVC would take it for the new file of the same digest.

If DVC runs the stage, no hard link is made in the state folder: DVC moves the output into its cache
right after, so the link would keep a file alive that nothing else uses. `remove_unused_links`
removes links whose files were moved in this way later.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cxr_vlp.pipelines.cache import dvc_cache, identity
from cxr_vlp.pipelines.cache.dvc_cache import DvcCache
from cxr_vlp.pipelines.cache.dvc_cache import under_dvc as under_dvc
from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.cache.identity import Identity
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.storage.place import is_remote, place

FOLDER = "stock"  # its name since version 0.1: another name would lose every user's cache
FICLONE = 0x40049409  # linux/fs.h
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Store:
    """The folders that may hold a stage's old files."""

    folders: tuple[str, ...]  # staging, old output: both have the layout of the output
    cache: DvcCache = field(default_factory=DvcCache)
    links: str = ""  # folder of the hard links, by sha256; "" for none

    def find(self, entry: Entry) -> Path | None:
        """Return a file that is, byte for byte, the one that the entry describes."""
        return next((path for path in self._places(entry) if _intact(path, entry)), None)

    def may_have(self, entry: Entry) -> bool:
        """Return whether there is a file of the entry's size; no file is read."""
        sizes = (identity.of(path) for path in self._places(entry))
        return not entry.sha256 or any(found and found[0] == entry.bytes for found in sizes)

    def restore(self, entry: Entry, target: Path) -> tuple[Entry, str] | None:
        """Put the entry's file at `target`: as a link where that is possible, else as a copy.

        Return the entry with the identities that were found, and ""; None if no intact copy is
        left. In an object store nothing is put in place: instead of "" the place of the file is
        returned, from which publishing copies it on the server.
        """
        if not entry.sha256:  # the part had nothing to write
            return entry, ""
        for path in self._places(entry):
            found = _intact(path, entry)
            if found is None:
                self._remove_damaged(path, entry)
                continue
            if is_remote(target) and path != target:
                return entry.with_seen(found), str(path)
            made = found if path == target else self._put(path, found, entry, target)
            if made is not None:
                return entry.with_seen(made, found), ""
        return None

    def _places(self, entry: Entry) -> Iterator[Path]:
        yield from (place(folder) / entry.file for folder in self.folders)
        if self.links:
            yield Path(self.links) / entry.sha256
        if self.cache.folder and entry.md5:
            yield self.cache.path(entry.md5)

    def link(self, path: Path, sha256: str) -> None:
        """Make the hard link of a finished file, if the file system can."""
        if not (self.links and sha256) or not self._own(path):
            return
        name = Path(self.links) / sha256
        temporary = name.with_name(f".{sha256}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # another disk, no hard links, disk full: no link
            if name.exists() and name.samefile(path):
                return
            name.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            os.link(path, temporary)
            temporary.replace(name)  # also replaces another copy, or a damaged one

    def prune(self, wanted: Collection[str]) -> None:
        """Remove all hard links except those of the files with these digests."""
        if self.links and Path(self.links).is_dir():
            for path in Path(self.links).iterdir():
                if path.name not in wanted:
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _own(self, path: Path) -> bool:
        """Return whether a file is not one that DVC protects, under this or another name."""
        if path.is_symlink() or self.cache.holds(path):
            return False
        with contextlib.suppress(OSError):
            return bool(path.stat().st_mode & stat.S_IWUSR)
        return False

    def _put(self, path: Path, found: Identity, entry: Entry, target: Path) -> Identity | None:
        """Put an intact file at `target`; return its identity, None if it could not be done."""
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        # DVC's file may be linked only where DVC itself would link it
        hard = not path.is_symlink() and (self._own(path) or self.cache.hard_links)
        try:
            done = (hard and _linked(path, temporary, found)) or _cloned(path, temporary, found)
            if not done and _copied(path, temporary) != entry.sha256:
                return None
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return identity.of(target)

    def _remove_damaged(self, path: Path, entry: Entry) -> None:
        if not self.cache.holds(path):
            return
        with contextlib.suppress(OSError):
            if _md5(path) != entry.md5:
                path.unlink()


def remove_unused_links(state: Path, project: Path) -> None:
    """Remove hard links that are the last name of their file, if DVC's cache has the file too."""
    alone = [p for p in (state / FOLDER).glob("*/*/[!.]*") if _link_count(p) == 1]
    cache = dvc_cache.of_project(project) if alone else DvcCache()
    if not cache.folder:
        return
    for folder in {path.parent for path in alone}:
        entries = Entries.of_stage(state, folder.parent.name)
        newest = [entries.newest(part) for part in entries.parts(folder.name)]
        held = {e.sha256 for e in newest if e and e.md5 and cache.path(e.md5).is_file()}
        for path in alone:
            if path.parent == folder and path.name in held:
                path.unlink(missing_ok=True)


def _link_count(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_nlink
    return 0


def _intact(path: Path, entry: Entry) -> Identity | None:
    """Return the identity of a file that has the entry's bytes, else None."""
    found = identity.of(path)
    if found is None or found[0] != entry.bytes:
        return None
    if found in entry.seen or (is_remote(path) and found[1].strip('"') == entry.md5):
        return found  # the ETag of an object that was put or copied in one piece is its MD5
    with contextlib.suppress(OSError):
        if _digest(path, found) == entry.sha256 and identity.of(path) == found:
            return found
    return None


@lru_cache(maxsize=4096)
def _digest(path: Path, found: Identity) -> str:  # noqa: ARG001 - part of the cache's key
    return jsonl.sha256(path)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _linked(path: Path, target: Path, found: Identity) -> bool:
    """Make a hard link; return whether it is one of the file that was found intact."""
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without hard links
        return False
    if identity.of(target) == found:
        return True
    target.unlink()  # another program has replaced the file since
    return False


def _cloned(path: Path, target: Path, found: Identity) -> bool:
    """Make a copy that shares its blocks with the file, where the file system can (XFS, Btrfs)."""
    try:
        with path.open("rb") as source, target.open("wb") as stream:
            fcntl.ioctl(stream, FICLONE, source.fileno())
            os.fsync(stream.fileno())
    except OSError:
        return False
    return identity.of(path) == found


def _copied(path: Path, target: Path) -> str:
    """Copy a file; return the sha256 of what was written. Raises OSError for a full disk."""
    hashing = hashlib.sha256()
    with path.open("rb") as source, target.open("wb") as stream:
        while data := source.read(CHUNK):
            hashing.update(data)
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return hashing.hexdigest()
