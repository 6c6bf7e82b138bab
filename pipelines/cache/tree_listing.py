"""Lists the folders of a raw tree with the state of each file, and finds what changed.

A folder whose own times and inode did not change has the same names in it: then its files are only
looked at (an overwritten file does not change its folder). A folder is read again if it is young,
and the whole tree is walked where a folder is a link.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.storage.place import is_remote

NO_TIME = -1  # of a file that may have changed since it was looked at
# the times of the last change in nanoseconds, and the inode: tar and rsync set back the first time,
# and two folders with the same time may have changed places
State = tuple[int, int, int]
UNKNOWN = (NO_TIME, NO_TIME, NO_TIME)  # of a folder whose names may have changed since
Entry = tuple[str, int, int, str]  # name, size in bytes, time in nanoseconds, inode


class Folder(NamedTuple):
    """The files of one folder, sorted, and its own state; `folders` are the names below it."""

    path: str  # below the root; "" for the root
    state: State
    files: tuple[Entry, ...]
    folders: tuple[str, ...] = ()
    # (name, what it states) of the files that are links: one that is put in the place of a file,
    # and leads to it, has its size, time and inode, but it may lead out of the root
    links: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Return the form in which an index holds it."""
        names = [self.folders, self.links]
        return json.dumps([self.state, self.files, names], separators=(",", ":"))

    @classmethod
    def of(cls, path: str, text: str) -> Folder:
        """Return the folder of a row."""
        state, files, (folders, links) = json.loads(text)
        return cls(path, tuple(state), tuple(map(tuple, files)), tuple(folders),
                   tuple(map(tuple, links)))  # fmt: skip


@dataclass
class Changes:
    """What differs between two listings of a tree."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    relinked: bool = False  # a file is reached in another way now, through a link or without one

    def compare(self, old: Folder | None, new: Folder) -> None:
        """Add what differs between two listings of one folder."""
        if old is not None and (old.files, old.links) == (new.files, new.links) and not _young(new):
            return
        led = {name for name, _ in {*old.links} ^ {*new.links}} if old else set()
        before = {entry[0]: entry for entry in old.files} if old else {}
        after = {entry[0]: entry for entry in new.files}
        base = f"{new.path}/" if new.path else ""
        self.relinked |= any(before.get(name) == after.get(name) for name in led)
        self.added += [base + name for name in after.keys() - before.keys()]
        self.removed += [base + name for name in before.keys() - after.keys()]
        self.changed += [
            base + name
            for name, entry in after.items()
            if name in before and (entry != before[name] or entry[2] == NO_TIME or name in led)
        ]

    def paths(self) -> set[str]:
        """Return every path of which something changed."""
        return {*self.added, *self.changed, *self.removed}


def _young(folder: Folder) -> bool:
    return any(entry[2] == NO_TIME for entry in folder.files)


class LinkError(Exception):
    """A folder is a link: which of two names a folder is seen under is the walk's to decide."""


def listed(
    tree: RawTree, faults: Counter[str], *, linked: bool, links: dict[str, str] | None = None
) -> Iterator[Folder]:
    """Yield every folder below the root.

    `faults` gets the codes of the walk: folders that cannot be read, or lead out. Raises LinkError
    where a folder is a link: then begin anew with `linked`, which walks the tree as readers do, and
    puts such folders into `links`: path below the root -> real path.
    """
    if not linked and is_remote(tree.root):
        raise LinkError
    yield from _walked(tree, faults, links) if linked else _below(str(tree.root), "", faults)


def moved(
    tree: RawTree, differing: Iterable[tuple[str, str]], faults: Counter[str]
) -> Iterator[tuple[Folder, Folder | None]]:
    """Yield (folder, what was known of it) for the folders in which something changed.

    `differing` are the paths and texts of the folders of an earlier listing that are not the same
    (folder_look.py), in any order. Of a folder that is gone, only the folder above it is yielded.
    Raises LinkError as `listed` does.
    """
    root = str(tree.root)
    waiting = {path: Folder.of(path, text) for path, text in differing}
    gone: set[str] = set()
    for path in sorted(waiting):  # a folder before those in it
        if not gone.isdisjoint(_and_above(path)):
            continue
        where, old = f"{root}/{path}" if path else root, waiting[path]
        new = _unmoved(where, old) or _read(where, path, faults)
        yield new, old
        base = f"{path}/" if path else ""
        gone.update(base + name for name in set(old.folders) - set(new.folders))
        for name in sorted(set(new.folders) - set(old.folders)):
            yield from ((each, None) for each in _below(root, base + name, faults))


def _and_above(path: str) -> Iterator[str]:
    """Yield a path and those of the folders above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _below(root: str, top: str, faults: Counter[str]) -> Iterator[Folder]:
    """Yield a folder and all below it."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        found = _read(f"{root}/{path}" if path else root, path, faults)
        COUNTS.add("seen")
        base = f"{path}/" if path else ""
        waiting.extend(base + name for name in reversed(found.folders))
        yield found


def is_same(where: str, text: str) -> bool:
    """Return whether a folder and all its files are as a text says; fast, for all folders."""
    stat_of = os.stat  # a Path takes as long again
    state, files, _ = json.loads(text)
    try:
        found = stat_of(where)
        if [found.st_mtime_ns, found.st_ctime_ns, found.st_ino] != state:
            return False
        for name, size, mtime, inode in files:
            found = stat_of(f"{where}/{name}")
            same = found.st_size == size and found.st_mtime_ns == mtime
            if not same or str(found.st_ino) != inode:
                return False
    except OSError:
        return False
    return True


def _unmoved(where: str, old: Folder) -> Folder | None:
    """Return a folder with the same names as before; None if its names may have changed."""
    if old.state == UNKNOWN:
        return None
    try:
        if _state_of(os.stat(where)) != old.state:  # noqa: PTH116 - a Path takes as long again
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
    return Folder(old.path, old.state, tuple(files), old.folders, old.links)


def _state_of(folder: os.stat_result) -> State:
    return folder.st_mtime_ns, folder.st_ctime_ns, folder.st_ino


def _read(where: str, path: str, faults: Counter[str]) -> Folder:
    """Read the names and states of a folder. Raises LinkError if a folder in it is a link."""
    try:
        state = _state_of(os.stat(where))  # noqa: PTH116 - before the names are read
        entries = sorted(os.scandir(where), key=lambda entry: entry.name)
    except OSError:
        faults["folder.unreadable"] += 1
        return Folder(path, UNKNOWN, ())
    files, below, links = [], [], []
    for entry in entries:
        if _is_folder(entry):
            if entry.is_symlink():
                raise LinkError
            below.append(entry.name)
        else:
            files.append(_entry(entry.name, _state(entry)))
            if stated := paths.stated(entry):
                links.append((entry.name, stated))
    kept = UNKNOWN if file_index.fresh(state[0]) else state
    return Folder(path, kept, tuple(files), tuple(below), tuple(links))


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


def _walked(tree: RawTree, faults: Counter[str], links: dict[str, str] | None) -> Iterator[Folder]:
    """Yield the folders as `paths.walk` sees them: links are followed, each folder is seen once.

    In a store a file's identity is its ETag, which changes with its content: no file is too young.
    """
    remote = is_remote(tree.root)
    found = paths.listing(tree, lambda code: faults.update((code,)), links)
    for path, of in itertools.groupby(found, lambda each: each.path.rpartition("/")[0]):
        files, stated = [], []
        for each in of:
            young = not remote and file_index.fresh(each.mtime_ns)
            name = each.path.rpartition("/")[2]
            files.append((name, each.size, NO_TIME if young else each.mtime_ns, each.identity))
            if each.link:
                stated.append((name, each.link))
        COUNTS.add("seen")
        yield Folder(path, UNKNOWN, tuple(files), links=tuple(stated))
