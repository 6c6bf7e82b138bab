"""Finds files below the root of a raw tree, and refuses paths that lead out of it.

A zip or plain tar is a folder of its own name: its members are files of the tree (archives.py), and
are opened with the path that `inside` returns, never with its text. Nothing outside the root is
opened, unless the collection says `links: true`. This holds as long as the folders of the tree do
not change during a run.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import archives, environment, raw_objects
from cxr_vlp.pipelines.files.archive_index import Index
from cxr_vlp.pipelines.files.raw_objects import RawObject
from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.storage.place import is_remote, is_store, place, shown

LINKS = "set `links: true` for this source to follow links that lead out of its root"

# Folders with these names hold tens of thousands of images and no table.
_BULK = re.compile(
    r"p\d+|s\d+|patient\d+|study\d+|\d+|images?(_\d+)?|images_normalized|ecgen-radiology|deid_png|"
    r"\..*",
    re.I,
)
_IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".dcm.gz")
NAMED = 3  # broken archives that a message names
UPPER = 3  # levels of folders in which the tables of every downloaded collection are
_OUT, _NOWHERE = "link out", "link nowhere"


@dataclass
class Reading:
    """What a reader looked at while it listed a tree; `scan` knows by it what a change touches."""

    opened: set[str] = field(default_factory=set)  # paths below the root
    at: str = ""  # the file whose rows are made now; "" for rows that no single file gives
    only: tuple[str, ...] | None = None  # the walk is over these files; None: over the whole tree


@dataclass(frozen=True)
class RawTree:
    """A raw root, resolved, and whether links may lead out of it.

    The root may be in an object store (raw_objects.py). There are no links in one.
    """

    root: Path
    links: bool = False
    kept: Path | None = None  # the folder in which the indices of tars are kept
    reading: Reading | None = field(default=None, compare=False)


Root = Path | RawTree  # a Path means a tree whose links may not lead out


def tree(root: Root) -> RawTree:
    """Return the tree of a root."""
    return root if isinstance(root, RawTree) else RawTree(root)


def refuse_address(text: str | Path, name: str) -> None:
    """Refuse an address as the value of the parameter `name`. Raises ConfigError."""
    if refused := local_paths.refusal(str(text)):
        raise ConfigError(f"{name}: {refused}")


def root(text: str | Path) -> Path:
    """Return an existing raw root, resolved; `env:NAME` is the folder that the variable names.

    It may be an address: `s3://bucket/mimic`. What an earlier run saw in a store is forgotten.
    Raises ConfigError with the remedy in the message, StorageError for a store that fails.
    """
    text = environment.value(str(text), "the root")
    if is_store(text):
        return _in_store(text)
    refuse_address(text, "the root")
    path = Path(text).resolve()
    if not text or not path.is_dir():
        raise ConfigError(
            f"no folder at {text or '(no root given)'}: give the raw tree with --root"
        )
    return path


def _in_store(text: str) -> Path:
    found = place(text.rstrip("/"))
    if not raw_objects.begin(found):
        raise ConfigError(
            f"there is no object below the root, {shown(text)}: give the address of the raw tree "
            "with --root"
        )
    return found


def inside(root: Root, relative: str) -> Path:
    """Return the path of a file below the root, or of a member of an archive.

    Raises IngestError path.escape for an absolute path, `..`, NUL, or a link that leads out
    without permission.
    """
    where = tree(root)
    if where.reading is not None:
        where.reading.opened.add(relative)
    parts = PurePosixPath(relative)
    if not relative or "\0" in relative or parts.is_absolute() or ".." in parts.parts:
        raise IngestError("path.escape")
    if archives.within(relative) and (archive := _archive_of(where, parts)):
        below = parts.relative_to(archive).as_posix()
        return archives.Member.of(inside(where, archive), below, where.kept)
    if is_remote(where.root):
        return cast(Path, RawObject(where.root, parts.as_posix()))
    path = where.root / parts
    if where.links:
        return path
    # Most files are not links: then only their folder may lead out, and it holds many files.
    try:
        is_link = os.path.islink(path)  # noqa: PTH114 - Path's own raises where a name is too long
        real = path.resolve() if is_link else _resolved(path.parent)
    except (OSError, RuntimeError):  # links in a loop
        raise IngestError("path.loop") from None
    if not real.is_relative_to(where.root):
        raise IngestError("path.escape")
    return path


def there(root: Root, relative: str) -> bool:
    """Return whether a file is there, without noting that it was opened. Raises as `inside`."""
    where = tree(root)
    return inside(RawTree(where.root, where.links, where.kept), relative).exists()


def _archive_of(where: RawTree, parts: PurePosixPath) -> str:
    """Return the archive that a path leads into, "" if it leads into none."""
    for folder in reversed(parts.parents):
        if archives.is_archive(folder.name) and is_file(where, folder.as_posix()):
            return folder.as_posix()
    return ""


@functools.lru_cache(maxsize=4096)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def is_file(root: Root, relative: str) -> bool:
    """Return whether there is such a file below the root, also behind a link that leads out."""
    where = tree(root)
    if is_remote(where.root):
        return RawObject(where.root, relative).is_file()
    return (where.root / relative).is_file()


def must_be_plain(path: Path, code: str) -> None:
    """Raise as `plain` does. An object of a store is a plain file: that costs no request."""
    if not isinstance(path, RawObject):
        plain(path, code)


def read_plain(path: Path, code: str) -> tuple[bytes, os.stat_result]:
    """Return all bytes of a plain file and its state; of a store by one request.

    Raises as `plain`.
    """
    if isinstance(path, RawObject):
        return path.read()
    found = plain(path, code)
    return path.read_bytes(), found


def first(path: Path, size: int) -> bytes:
    """Return up to `size` bytes from the start of a file; of a store no more are asked for."""
    with path.window(0, size) if isinstance(path, RawObject) else path.open("rb") as stream:
        return stream.read(size)


def plain(path: Path, code: str) -> os.stat_result:
    """Return the state of a plain file.

    Raises IngestError `code`.not_file for anything else: reading a FIFO, a socket or a device might
    never end. Raises OSError as `stat` does.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise IngestError(f"{code}.not_file")
    return found


Signature = tuple[int, int, int]  # size in bytes, time in nanoseconds, inode


def signature(path: Path) -> Signature:
    """Return the facts that change if another file replaces a file.

    Raises IngestError report.unreadable if there is no file.
    """
    try:
        stat = path.stat()
    except OSError:
        raise IngestError("report.unreadable") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


class Listed(NamedTuple):
    """A file of a tree, and what changes if another file replaces it."""

    path: str  # POSIX, relative to the root
    size: int  # bytes
    mtime_ns: int
    identity: str  # the inode; in an object store, a number made of the ETag
    link: str = ""  # of a link, what it states


def listing(
    root: Root, fault: Callable[[str], object] = str, links: dict[str, str] | None = None
) -> Iterator[Listed]:
    """Yield every file below the root with its state, in the order and with the faults of `walk`.

    Folders that are links, followed or not, are put into `links`: path below the root -> real path.

    An archive is one file. The state is that of `state`, as `_state` of the file index has it; in a
    store it costs no request beyond those of the listing. Raises StorageError as raw_objects.py.
    """
    where = tree(root)
    if is_remote(where.root):
        for name, found in _objects(where, fault):
            yield Listed(name, found.size, found.time, str(found.identity))
        return
    for prefix, files in _folders(where, fault, {} if links is None else links):
        for entry in files:
            state = _state_of(entry)
            path, inode = prefix + entry.name, str(state.st_ino)
            yield Listed(path, state.st_size, state.st_mtime_ns, inode, stated(entry))


def stated(entry: os.DirEntry[str]) -> str:
    """Return what a link states; "" for any other file.

    A link to a file has the file's state, but it may be one that may not be followed.
    """
    if not entry.is_symlink():
        return ""
    try:
        return os.readlink(entry.path)  # noqa: PTH115 - a Path takes as long again
    except OSError:  # it vanished
        return ""


@dataclass(frozen=True)
class Names:
    """Gives each file of a tree one name, by whichever folders and links a table states it."""

    root: str
    linked: bool  # whether a folder of the tree is a link
    _real: Callable[[str], str] = field(
        default_factory=lambda: functools.lru_cache(4096)(os.path.realpath), compare=False
    )

    def of(self, path: str) -> str:
        """Return the name of a path below the root."""
        plain = str(PurePosixPath(path))  # a table may state ./files//x.txt
        if not self.linked:
            return plain
        folder, _, name = plain.rpartition("/")
        return f"{self._real(f'{self.root}/{folder}')}/{name}"


def _objects(
    where: RawTree, fault: Callable[[str], object]
) -> Iterator[tuple[str, raw_objects.State]]:
    found = raw_objects.listing(where.root)
    for _ in range(found.odd):
        fault("path.escape")
    yield from found


def _state_of(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the state of a file; of a dangling link, that of the link."""
    try:
        return entry.stat()
    except OSError:
        try:
            return entry.stat(follow_symlinks=False)
        except OSError:  # it vanished: the same as a file that never existed
            return _VANISHED


_VANISHED = os.stat_result((0,) * 10)


def _folders(
    where: RawTree, fault: Callable[[str], object], links: dict[str, str]
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield ("" or "FOLDER/", its files by name) of every folder, each before its own folders.

    Folders that are links are put into `links`, with their real paths.
    """
    seen: set[str] = set()
    # (prefix, path, the real path: of a folder that is no link, that of its parent and its name)
    waiting = [("", str(where.root), os.path.realpath(where.root))]
    while waiting:
        prefix, path, real = waiting.pop()
        try:
            folders, files = _entries(path)
        except OSError:
            fault("folder.unreadable")
            continue
        if not where.links and not _is_below(real, where.root):
            fault("path.escape")
            continue
        if real in seen:
            continue
        seen.add(real)
        yield prefix, files
        for each in reversed(folders):
            below = _real(each, real)
            if each.is_symlink():
                links[f"{prefix}{each.name}"] = below
            waiting.append((f"{prefix}{each.name}/", each.path, below))


def _entries(path: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return (the folders and links to folders, the other files) of a folder, by name."""
    kinds: tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]] = ([], [])
    with os.scandir(path) as entries:
        for entry in entries:
            kinds[0 if _is_folder(entry) else 1].append(entry)
    for kind in kinds:
        kind.sort(key=_name_of)
    return kinds


_name_of = operator.attrgetter("name")


def _real(entry: os.DirEntry[str], parent: str) -> str:
    return (
        os.path.realpath(entry.path) if entry.is_symlink() else f"{parent.rstrip('/')}/{entry.name}"
    )


def _is_below(real: str, root: Path) -> bool:
    top = str(root)
    return real == top or real.startswith(top if top.endswith("/") else f"{top}/")


def walk(
    root: Root, fault: Callable[[str], object] = str, *, members: bool = True
) -> Iterator[str]:
    """Yield every file below the root as a POSIX relative path, sorted inside each folder.

    The members of a zip or plain tar follow the archive itself, if `members` are wanted. Then
    `fault` is also called with archive.* codes: of members that are not listed, of archives that
    have to be unpacked, and of those that are broken, which `broken` names.

    Folders that are links are followed if they stay inside the root (or links may lead out of it)
    and were not visited yet. A folder that cannot be read, or leads out without permission, is
    skipped, and `fault` is called with the code folder.unreadable or path.escape.
    """
    where = tree(root)
    if where.reading is not None and where.reading.only is not None:
        yield from where.reading.only
        return
    seen: set[str] = set()
    for relative in _names(where, fault):
        yield relative
        name = relative.rpartition("/")[2]
        if members and archives.is_archive(name):
            yield from _members(where, relative, seen, fault)
        elif members and archives.packed(name):
            fault("archive.packed")


def _names(where: RawTree, fault: Callable[[str], object]) -> Iterator[str]:
    if is_remote(where.root):
        yield from (name for name, _ in _objects(where, fault))
        return
    for prefix, files in _folders(where, fault, {}):
        yield from (prefix + entry.name for entry in files)


def _members(
    where: RawTree, relative: str, seen: set[str], fault: Callable[[str], object]
) -> Iterator[str]:
    """Yield the members of an archive; of two links to one archive, the first has them."""
    try:
        found = _opened(where, relative, seen)
    except IngestError as error:
        fault(error.code)
        return
    for code, number in found.faults.items() if found else ():
        for _ in range(number):
            fault(code)
    for name in found or ():
        yield f"{relative}/{name}"


def _opened(where: RawTree, relative: str, seen: set[str]) -> Index | None:
    """Return the index of an archive; None if it was seen, or is a link that leads nowhere.

    Raises IngestError path.escape for a link that leads out without permission, and archive.* for
    an archive that cannot be read.
    """
    path = inside(where, relative)
    real = str(path) if is_remote(path) else os.path.realpath(path)
    if real in seen or not path.is_file():
        return None
    seen.add(real)
    try:
        return archives.index(path, where.kept)
    except DataError as error:
        raise IngestError(str(error).partition(":")[0]) from None


def unpacked_first(found: Iterable[str]) -> list[str]:
    """Return files without those in archives that also are unpacked, by their names."""
    found = list(found)
    names = {path.rpartition("/")[2].lower() for path in found if not archives.within(path)}
    return [
        path
        for path in found
        if not (archives.within(path) and path.rpartition("/")[2].lower() in names)
    ]


def state(root: Root, relative: str) -> os.stat_result:
    """Return the state of a file that `walk` yielded; of a dangling link, that of the link."""
    where = tree(root)
    if is_remote(where.root):
        with contextlib.suppress(OSError):
            return inside(where, relative).stat()
        return _VANISHED
    path = where.root / relative
    try:
        if archives.within(relative):
            return inside(where, relative).stat()
        return path.stat()
    except (OSError, IngestError):  # dangling, in a loop, behind a folder that may not be entered
        try:
            return path.lstat()
        except OSError:  # it vanished: the same as a file that never existed
            return _VANISHED


def readable(relative: str) -> bool:
    """Return whether a path is UTF-8, as an inventory needs; a name in Latin-1 is not."""
    try:
        relative.encode()
    except UnicodeEncodeError:
        return False
    return True


def find(root: Root, *patterns: str, depth: int = 5) -> str:
    """Return the one file that matches the first pattern with a match, up to `depth` folders down.

    Case does not matter. "" if nothing matches. A file and its .gz copy count once, and so does a
    copy of it in a folder beside it (Kaggle's sample of NIH has its table twice). A member of an
    archive counts only if no unpacked file matches. Raises ConfigError if there are several
    releases, because reading both would mix them, and if the file is a link that leads out of the
    root without permission.
    """
    where = tree(root)
    shallow = list(_shallow(where, depth))
    for most in (UPPER, depth):  # deeper only where the upper folders have no match
        for pattern in patterns:
            found: dict[str, str] = {}
            for relative in shallow:
                folders, _, name = relative.rpartition("/")
                deep = relative.count("/") >= most
                if not deep and fnmatch(name.lower(), pattern.lower()):
                    key = f"{folders}/{name.lower().removesuffix('.gz')}"
                    found.setdefault(key, relative)
            if unpacked := {k: path for k, path in found.items() if not archives.within(path)}:
                found = unpacked
            if len(found) > 1 and not _copies(where, list(found.values())):
                names = ", ".join(sorted(found.values())[:3])
                raise ConfigError(f"several releases below the root ({names}): point --root at one")
            if found:
                return _checked(where, next(iter(found.values())))
    return ""


def _copies(where: RawTree, found: list[str]) -> bool:
    """Return whether all but the first file are copies of it in folders below its own."""
    first, *others = found
    folder = first.rpartition("/")[0]
    try:
        path = inside(where, first)
        return all(
            (not folder or other.startswith(f"{folder}/")) and _same(path, inside(where, other))
            for other in others
        )
    except (OSError, IngestError):
        return False


def _same(one: Path, other: Path) -> bool:
    """Return whether two files, or members of archives, hold the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True


def _checked(where: RawTree, relative: str) -> str:
    name = relative.rpartition("/")[2]
    if not readable(relative):
        raise ConfigError(f"{name} is in a folder whose name is not UTF-8: rename the folder")
    try:
        path = inside(where, relative)
    except IngestError:
        raise ConfigError(f"{name} is a link that leads out of the root: {LINKS}") from None
    if not path.exists():
        raise ConfigError(f"{name} is a link that leads nowhere: fetch the file (git annex get)")
    return relative


def _shallow(where: RawTree, depth: int) -> Iterator[str]:
    """Yield the files of the upper folders, level by level, without folders of images."""
    seen: set[str] = set()
    if is_remote(where.root):
        for relative in _upper_objects(where, depth):
            yield relative
            if archives.is_archive(relative.rpartition("/")[2]):
                yield from _shallow_members(where, relative, depth, seen)
        return
    level = [""]
    for _ in range(depth):
        below = []
        for folder in level:
            real = os.path.realpath(where.root / folder)
            if real in seen or not (where.links or Path(real).is_relative_to(where.root)):
                continue
            seen.add(real)
            try:
                entries = sorted(os.scandir(real), key=lambda entry: entry.name)
            except OSError:  # `walk` reports the folder
                continue
            for entry in entries:
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if not _is_folder(entry):
                    yield relative
                    if archives.is_archive(entry.name):
                        yield from _shallow_members(where, relative, depth, seen)
                elif not _BULK.fullmatch(entry.name):
                    below.append(relative)
        level = below


def _upper_objects(where: RawTree, depth: int) -> list[str]:
    bulk = functools.cache(_BULK.fullmatch)
    found = (name.split("/") for name in raw_objects.listing(where.root).names)
    upper = [parts for parts in found if len(parts) <= depth and not any(map(bulk, parts[:-1]))]
    return ["/".join(parts) for parts in sorted(upper, key=lambda parts: (len(parts), parts))]


def _shallow_members(where: RawTree, relative: str, depth: int, seen: set[str]) -> Iterator[str]:
    """Yield an archive's members in its upper folders, without folders of images."""
    try:
        found = _opened(where, relative, seen)
    except IngestError:  # `walk` reports the archive
        return
    for name in _upper(found) if found else ():
        if relative.count("/") + name.count("/") + 1 < depth:
            yield f"{relative}/{name}"


@functools.lru_cache(maxsize=64)
def _upper(found: Index) -> tuple[str, ...]:
    """Return the members that may be tables: few of 200,000, for each `find`."""
    bulk = functools.cache(_BULK.fullmatch)
    return tuple(
        name
        for name in found
        if not name.lower().endswith(_IMAGES) and not any(map(bulk, name.split("/")[:-1]))
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def summary(root: Root) -> str:
    """Describe the content of a root for a message: kinds of files and their numbers, no names."""
    where = tree(root)
    kinds: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for relative in walk(where, lambda code: faults.update((code,))):
        kinds[_kind(where, relative)] += 1
    out = kinds.pop(_OUT, 0) + sum(1 for _ in _links_out(where))
    nowhere, unread = kinds.pop(_NOWHERE, 0), faults["folder.unreadable"]
    counts = [*kinds.most_common(6), ("others", sum(n for _, n in kinds.most_common()[6:]))]
    counts += [("links that lead out of it", out), ("links that lead nowhere", nowhere)]
    counts += [("folders that may not be read", unread)]
    parts = [f"{number:,} {kind}" for kind, number in counts if number]
    said = f"below the root there are {', '.join(parts)}" if parts else "the root is empty"
    hints = (
        (True, packed(where)),
        (True, broken(where)),
        (out, LINKS),
        (nowhere, "fetch the files of the links (git annex get, datalad get)"),
        (unread, "correct the permissions"),
        (True, "point --root at the folder that holds both tables and images"),
    )
    return f"{said}. Remedy: {', or '.join(hint for there, hint in hints if there and hint)}"


def packed(root: Root) -> str:
    """Return how to unpack the archives which are not read in place, "" without any."""
    where = tree(root)
    names = (relative.rpartition("/")[2] for relative in walk(where, members=False))
    kinds: Counter[str] = Counter(map(archives.packed, names))
    nested = 0
    for path in _archives(where):
        kinds[archives.packed_inside(path)] += 1
        with contextlib.suppress(DataError):  # `broken` names it
            nested += archives.index(path, where.kept).faults["archive.nested"]
    del kinds[""]
    inner = f"unpack what holds {nested:,} archives inside archives, which are not opened"
    remedy = archives.remedy(kinds, in_store=is_remote(where.root))
    return "; ".join(filter(None, (remedy, inner if nested else "")))


def _archives(where: RawTree) -> Iterator[Path]:
    """Yield the archives that are read in place, or would be if they were whole."""
    for relative in walk(where, members=False):
        if archives.is_archive(relative.rpartition("/")[2]):
            with contextlib.suppress(IngestError):  # a link that leads out
                path = inside(where, relative)
                if path.is_file():  # opening a FIFO might never end
                    yield path


def broken(root: Root) -> str:
    """Return what is wrong with the archives that cannot be read, and the remedies; "" if none."""
    where = tree(root)
    faults = []
    for path in _archives(where):
        try:
            archives.index(path, where.kept)
        except DataError as error:
            faults.append(str(error))
    more = f"; {len(faults) - NAMED} more such archives" if len(faults) > NAMED else ""
    return "; ".join(faults[:NAMED]) + more


def _kind(where: RawTree, relative: str) -> str:
    path = where.root / relative
    if not is_remote(where.root) and path.is_symlink():
        try:
            real = path.resolve()
            if not where.links and not real.is_relative_to(where.root):
                return _OUT if real.exists() else _NOWHERE
            if not real.exists():
                return _NOWHERE
        except (OSError, RuntimeError):
            return _NOWHERE
    suffixes = Path(relative).suffixes[-2:]
    if suffixes[-1:] == [".gz"] and re.fullmatch(r"\.(csv|dcm|tar|nii|txt)", suffixes[0], re.I):
        return "".join(suffixes)
    suffix = suffixes[-1] if suffixes else ""
    return suffix if re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{0,5}", suffix) else "without a suffix"


def _links_out(where: RawTree) -> Iterator[str]:
    """Yield the folders that are links out of the root, which `walk` does not follow."""
    if where.links or is_remote(where.root):
        return
    for folder, folders, _ in os.walk(where.root):
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(where.root):
                yield name
