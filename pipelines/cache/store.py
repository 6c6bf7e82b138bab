"""Finds finished files of earlier runs and reuses them.

Four places are searched: the staging folder of a killed run, the old output, the hard link in the
state folder, and DVC's cache (by md5). The hard link, which needs no disk space, is for the case
that DVC deletes the output before it runs the stage, and does not have it in its cache because the
stage was last run by hand. A file is hashed again before it is used; a damaged copy is ignored. A
finished file is never written to in place, under any of its names.

If DVC runs the stage, no hard link is made: DVC moves the output into its cache right after and
puts its own copy in its place, so the link would keep a file alive that nothing else uses.
`remove_unused_links` removes links whose files were moved in this way later.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.files import jsonl

FOLDER = "stock"  # its name since version 0.1: another name would lose every user's cache


@dataclass(frozen=True)
class Store:
    """The folders that may hold a stage's old files."""

    folders: tuple[str, ...]  # staging, old output: both have the layout of the output
    cache: str = ""  # DVC's cache; "" if there is none
    links: str = ""  # folder of the hard links, by sha256; "" for none

    def find(self, entry: Entry) -> Path | None:
        """Return a file that is, byte for byte, the one that the entry describes."""
        for path in self._places(entry):
            if _is(path, entry):
                return path
        return None

    def restore(self, entry: Entry, target: Path) -> bool:
        """Put the entry's file at `target`; return False if no intact copy is left."""
        if not entry.sha256:  # the part had nothing to write
            return True
        for path in self._places(entry):
            if path == target and _is(path, entry):
                return True
            if path != target and _reuse(path, entry, target, link=self._may_link(path)):
                return True
        return False

    def _places(self, entry: Entry) -> Iterator[Path]:
        yield from (Path(folder) / entry.file for folder in self.folders)
        if self.links:
            yield Path(self.links) / entry.sha256
        if self.cache and entry.md5:
            yield dvc_cached(Path(self.cache), entry.md5)

    def link(self, path: Path, sha256: str) -> None:
        """Make the hard link of a finished file, if the file system can."""
        if not (self.links and sha256) or not self._may_link(path):
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

    def _may_link(self, path: Path) -> bool:
        """Return whether a hard link may be made of a file.

        Not of a file that DVC protects (its own copy, or another name of it), nor of a symlink.
        """
        if path.is_symlink() or (self.cache and path.is_relative_to(self.cache)):
            return False
        with contextlib.suppress(OSError):
            return bool(path.stat().st_mode & stat.S_IWUSR)
        return False


def under_dvc() -> bool:
    """Return whether DVC runs this stage."""
    return "DVC_STAGE" in os.environ


def remove_unused_links(state: Path, project: Path) -> None:
    """Remove hard links that are the last name of their file, if DVC's cache has the file too."""
    alone = [p for p in (state / FOLDER).glob("*/*/[!.]*") if _link_count(p) == 1]
    cache = Path(dvc_cache(project)) if alone else Path()
    if not cache.name:
        return
    for folder in {path.parent for path in alone}:
        entries = Entries.of_stage(state, folder.parent.name)
        newest = [entries.newest(part) for part in entries.parts(folder.name)]
        held = {e.sha256 for e in newest if e and e.md5 and dvc_cached(cache, e.md5).is_file()}
        for path in alone:
            if path.parent == folder and path.name in held:
                path.unlink(missing_ok=True)


def _link_count(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_nlink
    return 0


def dvc_cached(cache: Path, md5: str) -> Path:
    """Return where DVC 3 keeps a file with this md5; only this function depends on the layout."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def dvc_cache(folder: Path) -> str:
    """Return the cache folder of the DVC project that contains `folder`; "" if there is none."""
    if not any((parent / ".dvc").is_dir() for parent in (folder, *folder.parents)):
        return ""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _is(path: Path, entry: Entry) -> bool:
    try:
        now = path.stat()
        if now.st_size != entry.bytes:
            return False
        return _digest(path, now.st_mtime_ns, now.st_ino) == entry.sha256
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _digest(path: Path, mtime: int, inode: int) -> str:  # noqa: ARG001 - part of the cache's key
    return jsonl.sha256(path)


def _reuse(path: Path, entry: Entry, target: Path, *, link: bool) -> bool:
    """Put an intact file at `target`: as a hard link, else as a copy; return whether it worked."""
    if not path.is_file() or path.stat().st_size != entry.bytes:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        if not (link and _linked(path, temporary)):
            _copy(path, temporary)
        if jsonl.sha256(temporary) != entry.sha256:
            return False
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _linked(path: Path, target: Path) -> bool:
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without hard links
        return False
    return True


def _copy(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
