"""Lists the folders of a raw tree with the state of each file, and finds what changed.

A folder whose own time did not change has the same names in it: then its files are only looked at
(an overwritten file does not change its folder). A folder is read again if it is young, and the
whole tree is walked where a folder is a link.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.storage.place import is_remote

NO_TIME = -1  # of a file or folder that may have changed since it was looked at
Entry = tuple[str, int, int, str]  # name, size in bytes, time in nanoseconds, inode


class Folder(NamedTuple):
    """The files of one folder, sorted, and its own time; `folders` are the names below it."""

    path: str  # below the root; "" for the root
    time: int
    files: tuple[Entry, ...]
    folders: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the form in which an index holds it."""
        return json.dumps([self.time, self.files, self.folders], separators=(",", ":"))

    @classmethod
    def of(cls, path: str, text: str) -> Folder:
        """Return the folder of a row."""
        time, files, folders = json.loads(text)
        return cls(path, time, tuple(map(tuple, files)), tuple(folders))


@dataclass
class Changes:
    """What differs between two listings of a tree."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def compare(self, old: Folder | None, new: Folder) -> None:
        """Add what differs between two listings of one folder."""
        if old is not None and old.files == new.files and not _young(new):
            return
        before = {entry[0]: entry for entry in old.files} if old else {}
        after = {entry[0]: entry for entry in new.files}
        base = f"{new.path}/" if new.path else ""
        self.added += [base + name for name in after.keys() - before.keys()]
        self.removed += [base + name for name in before.keys() - after.keys()]
        self.changed += [
            base + name
            for name, entry in after.items()
            if name in before and (entry != before[name] or entry[2] == NO_TIME)
        ]

    def paths(self) -> set[str]:
        """Return every path of which something changed."""
        return {*self.added, *self.changed, *self.removed}


def _young(folder: Folder) -> bool:
    return any(entry[2] == NO_TIME for entry in folder.files)


class LinkError(Exception):
    """A folder is a link: which of two names a folder is seen under is the walk's to decide."""


Known = Callable[[str], Folder | None]


def folders(
    tree: RawTree, known: Known, faults: Counter[str], *, linked: bool
) -> Iterator[tuple[Folder, Folder | None]]:
    """Yield (folder, what is known of it) for every folder below the root.

    `faults` gets the codes of the walk: folders that cannot be read, or lead out. Raises LinkError
    where a folder is a link: then begin anew with `linked`, which walks the whole tree.
    """
    if not linked and is_remote(tree.root):
        raise LinkError
    yield from (_walked if linked else _plain)(tree, known, faults)


def _plain(
    tree: RawTree, known: Known, faults: Counter[str]
) -> Iterator[tuple[Folder, Folder | None]]:
    root = str(tree.root)
    waiting = [""]
    while waiting:
        path = waiting.pop()
        old = known(path)
        where = f"{root}/{path}" if path else root
        found = _unmoved(where, old) if old else None
        found = found or _read(where, path, faults)
        COUNTS.add("seen", len(found.files))
        base = f"{path}/" if path else ""
        waiting.extend(base + name for name in reversed(found.folders))
        yield found, old


def _unmoved(where: str, old: Folder) -> Folder | None:
    """Return a folder with the same names as before; None if its names may have changed."""
    if old.time == NO_TIME:
        return None
    try:
        if os.stat(where).st_mtime_ns != old.time:  # noqa: PTH116 - a Path takes as long again
            return None
        files = []
        for name, size, mtime, inode in old.files:
            seen = os.stat(f"{where}/{name}")  # noqa: PTH116
            if stat.S_ISDIR(seen.st_mode):
                return None
            if seen.st_size == size and seen.st_mtime_ns == mtime and str(seen.st_ino) == inode:
                files.append((name, size, mtime, inode))
            else:
                files.append(_entry(name, seen))
    except OSError:  # a link that leads nowhere now, or a folder that may not be entered
        return None
    return Folder(old.path, old.time, tuple(files), old.folders)


def _read(where: str, path: str, faults: Counter[str]) -> Folder:
    """Read the names and states of a folder. Raises LinkError if a folder in it is a link."""
    try:
        time = os.stat(where).st_mtime_ns  # noqa: PTH116 - before the names are read
        entries = sorted(os.scandir(where), key=lambda entry: entry.name)
    except OSError:
        faults["folder.unreadable"] += 1
        return Folder(path, NO_TIME, ())
    files, below = [], []
    for entry in entries:
        if _is_folder(entry):
            if entry.is_symlink():
                raise LinkError
            below.append(entry.name)
        else:
            files.append(_entry(entry.name, _state(entry)))
    kept = NO_TIME if file_index.fresh(time) else time
    return Folder(path, kept, tuple(files), tuple(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _state(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the state of a file; of a link that leads nowhere, that of the link."""
    try:
        return entry.stat()
    except OSError:
        with contextlib.suppress(OSError):
            return entry.stat(follow_symlinks=False)
        return os.stat_result((0,) * 10)  # it vanished, or its folder may not be entered


def _entry(name: str, seen: os.stat_result) -> Entry:
    mtime = NO_TIME if file_index.fresh(seen.st_mtime_ns) else seen.st_mtime_ns
    return name, seen.st_size, mtime, str(seen.st_ino)


def _walked(
    tree: RawTree, known: Known, faults: Counter[str]
) -> Iterator[tuple[Folder, Folder | None]]:
    """Yield the folders as `paths.walk` sees them: links are followed, each folder is seen once.

    In a store a file's identity is its ETag, which changes with its content: no file is too young.
    """
    path, files = "", list[Entry]()
    remote = is_remote(tree.root)
    for each in paths.listing(tree, lambda code: faults.update((code,))):
        folder, _, name = each.path.rpartition("/")
        if folder != path:
            if files:
                yield Folder(path, NO_TIME, tuple(files)), known(path)
            path, files = folder, []
        young = not remote and file_index.fresh(each.mtime_ns)
        files.append((name, each.size, NO_TIME if young else each.mtime_ns, each.identity))
        COUNTS.add("seen")
    if files:
        yield Folder(path, NO_TIME, tuple(files)), known(path)
