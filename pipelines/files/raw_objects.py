"""Reads the files of a raw tree that is in an object store (`s3://bucket/mimic` as the root).

One recursive listing gives names, sizes, times and ETags of all objects: 378 requests for the
377,110 images of MIMIC-CXR. It is kept for the run. Then each file costs one GET. There are no
folders and no links in a store, so nothing leads out of the root; a key with `..` is refused.

A `RawObject` is opened and looked at like a path. It says FileNotFoundError and PermissionError for
itself only. A store that cannot be reached, or refuses the credentials, is tried again and then
raises StorageError, which ends the run: it must not look like 377,110 unreadable images.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, TypeVar

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.format.remote import faults, store
from cxr_vlp.pipelines.storage.place import shown

FIRST = 1 << 20  # bytes of the first ranged read of a file; each further one is twice as long
MOST = 1 << 23  # bytes of a ranged read
KEY = 1024  # bytes of the longest key of a store
STATES = 1 << 14  # states of objects that a process without a listing remembers
Answer = TypeVar("Answer")


class State(NamedTuple):
    """What tells one version of an object from another."""

    size: int  # bytes
    time: int  # nanoseconds since 1970
    identity: int  # 64 bits made of the ETag; it stands where a file has its inode

    def stat(self) -> os.stat_result:
        """Return the state in the form of a plain file that is only read."""
        seconds = self.time / 1e9
        times = (int(seconds),) * 3
        exact = (self.time,) * 3
        plain = (stat.S_IFREG | 0o444, self.identity, 0, 1, 0, 0, self.size)
        return os.stat_result((*plain, *times, *(seconds,) * 3, *exact))


@dataclass
class Listing:
    """All objects below a root, in the order of `paths.walk`; compact, for millions of objects."""

    names: list[str] = field(default_factory=list)  # relative to the root
    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    identities: array[int] = field(default_factory=lambda: array("Q"))
    odd: int = 0  # objects whose names are no paths below the root: "a/../b", "a//b"

    @classmethod
    def of(cls, root: Path) -> Listing:
        """List a root. Raises StorageError as `RawObject` does."""
        found = cls()
        for name, state in _objects(root):
            if _is_path(name):
                found._add(name, state)
            elif name and (state.size or name[-1] != "/"):  # not the mark of a folder
                found.odd += 1
        return found._sorted()

    def _add(self, name: str, state: State) -> None:
        self.names.append(name)
        self.sizes.append(state.size)
        self.times.append(state.time)
        self.identities.append(state.identity)

    def _sorted(self) -> Listing:
        order = sorted(range(len(self.names)), key=lambda at: _order(self.names[at]))
        return Listing(
            [self.names[at] for at in order],
            array("q", (self.sizes[at] for at in order)),
            array("q", (self.times[at] for at in order)),
            array("Q", (self.identities[at] for at in order)),
            self.odd,
        )

    def __iter__(self) -> Iterator[tuple[str, State]]:
        """Yield (relative path, state)."""
        columns = (self.sizes, self.times, self.identities)
        yield from zip(self.names, map(State, *columns), strict=True)

    def state(self, name: str) -> State | None:
        """Return the state of an object; None without such an object."""
        at = bisect_left(self.names, _order(name), key=_order)
        if at == len(self.names) or self.names[at] != name:
            return None
        return State(self.sizes[at], self.times[at], self.identities[at])


def _order(name: str) -> str:
    """Return what sorts paths as a walk visits them: files of a folder first, then its folders."""
    *folders, last = name.split("/")
    return "".join(f"\1{folder}" for folder in folders) + f"\0{last}"


def _is_path(name: str) -> bool:
    """Return whether a key below the root is written as a path is, so that `inside` gives it."""
    return not ("\0" in name or {"", ".", ".."} & set(name.split("/")))


def _objects(root: Path) -> Iterator[tuple[str, State]]:
    """Yield (name below the root, state) of all objects, in any order. Raises StorageError."""
    try:
        for name, details in store.below(str(root)):
            yield name, _state(details)
    except Exception as error:
        raise _fault(root, error) from None


def _state(details: Any) -> State:
    """Return the state in a listing's or a header's details, of S3, Google's or Azure's."""
    found = {str(key).lower().replace("_", ""): value for key, value in details.items()}
    size = int(found.get("size", found.get("contentlength", 0)) or 0)
    when = next((v for k in _TIMES if (v := found.get(k))), None)
    moment = _nanoseconds(when)
    tag = next((str(v) for k in _TAGS if (v := found.get(k))), f"{size} {moment}")
    digest = hashlib.blake2b(tag.strip('"').encode(), digest_size=8).digest()
    return State(size, moment, int.from_bytes(digest) >> 1)  # 63 bits, as SQLite's integers


_TIMES = ("lastmodified", "updated", "mtime", "created")
_TAGS = ("etag", "generation", "md5hash", "contentmd5", "versionid")


def _nanoseconds(when: Any) -> int:
    if isinstance(when, str):
        with contextlib.suppress(ValueError):
            when = datetime.fromisoformat(when)
    if not isinstance(when, datetime):
        return 0
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 10**9  # whole seconds, as in the header of an answer


_LISTINGS: dict[str, Listing] = {}
_STATES: dict[str, State] = {}
_LISTING = threading.Lock()


def listing(root: Path) -> Listing:
    """Return the listing of a root, made once a run. Raises StorageError."""
    with _LISTING:
        made = _LISTINGS.get(str(root))
        if made is None:
            made = _LISTINGS[str(root)] = Listing.of(root)
        return made


def begin(root: Path) -> bool:
    """Begin a run: forget what an earlier one saw; return whether there is an object below a root.

    Raises StorageError for a store that cannot be reached or refuses the credentials.
    """
    _LISTINGS.pop(str(root), None)
    _STATES.clear()
    return _asked(root, lambda: _any(root))


def _any(root: Path) -> bool:
    fs, prefix = _opened(root)
    if not _is_s3(fs):
        return bool(fs.exists(prefix))
    return bool(store.page(str(root), MaxKeys=1).get("KeyCount", 0))


def _opened(root: Path) -> tuple[Any, str]:
    """Return the file system of a root, and its name there. Raises StorageError."""
    try:
        return store.opened(str(root))
    except (OSError, ValueError) as error:
        raise StorageError(str(error)) from None


def _is_s3(fs: Any) -> bool:
    return hasattr(fs, "call_s3")


@dataclass(frozen=True)
class RawObject:
    """A file of a raw tree in a store, which need not exist."""

    root: Path  # the root's place
    relative: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.relative.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> PurePosixPath:
        """The folder, relative to the root of the store's address."""
        return PurePosixPath(str(self)).parent

    def __str__(self) -> str:
        """Return the address, which may hold ids: not for messages."""
        return f"{str(self.root).rstrip('/')}/{self.relative}"

    def __repr__(self) -> str:
        """Return a form without the address, which may hold ids."""
        return "RawObject(...)"

    def exists(self) -> bool:
        """Return whether there is such an object. Raises StorageError."""
        try:
            self.state()
        except FileNotFoundError:
            return False
        except PermissionError:
            return True
        return True

    is_file = exists

    def stat(self) -> os.stat_result:
        """Return the state in the form of a file's: of the run's listing, or by one request.

        Raises FileNotFoundError, PermissionError, StorageError.
        """
        return self.state().stat()

    def state(self) -> State:
        """Return the state. Raises as `stat`."""
        made = _LISTINGS.get(str(self.root))
        found = made.state(self.relative) if made is not None else _STATES.get(str(self))
        if found is None and made is not None:
            raise _missing()
        if found is None:
            found = self._remembered(_asked(self.root, self._head))
        return found

    def _remembered(self, state: State) -> State:
        if len(_STATES) >= STATES:
            _STATES.clear()
        _STATES[str(self)] = state
        return state

    def _head(self) -> State:
        fs, name = self._at()
        if _is_s3(fs):  # `info` also lists what may be a folder
            bucket, _, key = name.partition("/")
            return _state(fs.call_s3("head_object", Bucket=bucket, Key=key, **fs.req_kw))
        details = fs.info(name)
        if details.get("type") == "directory":
            raise _missing()
        return _state(details)

    def _at(self) -> tuple[Any, str]:
        """Return file system and name. Raises FileNotFoundError for a name that no key can be."""
        try:
            is_key = len(self.relative.encode()) <= KEY
        except UnicodeEncodeError:
            is_key = False
        if not is_key:
            raise _missing()
        fs, root = _opened(self.root)
        return fs, f"{root}/{self.relative}"

    def read(self) -> tuple[bytes, os.stat_result]:
        """Return all bytes and the state that they have, by one request. Raises as `stat`."""
        data, state = _asked(self.root, lambda: self._get(0, None))
        if str(self.root) not in _LISTINGS:
            self._remembered(state)
        return data, state.stat()

    def read_bytes(self) -> bytes:
        """Return all bytes, by one request. Raises as `stat`."""
        return self.read()[0]

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the text. Raises as `stat`."""
        return self.read_bytes().decode(encoding)

    def ranged(self, start: int, size: int, tag: str = "") -> tuple[bytes, str]:
        """Return up to `size` bytes from `start`, and the tag of the version that they are of.

        With a tag of an earlier read, another version of the object raises StorageError. Raises as
        `stat`.
        """
        fs, name = self._at()
        if not _is_s3(fs):
            return _asked(self.root, lambda: fs.cat_file(name, start=start, end=start + size)), ""
        data, headers = _asked(self.root, lambda: _got(fs, name, (start, start + size), tag))
        found = str(headers.get("ETag", ""))
        if tag not in ("", found):  # a server that knows no If-Match
            raise _changed(self.root)
        return data, found

    def _get(self, start: int, end: int | None) -> tuple[bytes, State]:
        fs, name = self._at()
        if _is_s3(fs):
            data, headers = _got(fs, name, None if end is None else (start, end))
            return data, _state(headers)
        return fs.cat_file(name), _state(fs.info(name))

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,  # noqa: ARG002 - as Path.open has it
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open the object for reading, by ranges that become longer. Raises as `stat`."""
        if set(mode) - set("rbt"):
            raise PermissionError(errno.EACCES, "a raw tree is only read")
        return _as_opened(Ranges(self), mode, encoding, errors, newline)

    def window(self, start: int, size: int) -> IO[bytes]:
        """Open the object at a place of which `size` bytes are wanted: one request."""
        return io.BufferedReader(Ranges(self, start, size), 1 << 16)


def _as_opened(
    raw: io.RawIOBase, mode: str, encoding: str | None, errors: str | None, newline: str | None
) -> IO[Any]:
    buffered = io.BufferedReader(raw, 1 << 16)
    buffered.peek(1)  # an object that is not there raises here, as a file does
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


class Ranges(io.RawIOBase):
    """Reads an object by ranges. All are of one version: another one raises StorageError."""

    def __init__(self, whole: RawObject, start: int = 0, size: int = 0) -> None:
        super().__init__()
        self._whole = whole
        self._at = start
        self._next = size or FIRST  # bytes of the next request
        self._held = b""
        self._held_at = start
        self._ended = -1  # the size of the object, as soon as it is known
        self._tag = ""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Move; a place outside what is held costs a request at the next read."""
        bases = {io.SEEK_SET: lambda: 0, io.SEEK_CUR: self.tell, io.SEEK_END: self._size}
        self._at = max(0, bases[whence]() + place)
        return self._at

    def _size(self) -> int:
        if self._ended < 0:
            self._ended = self._whole.state().size
        return self._ended

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; 0 at the end."""
        offset = self._at - self._held_at
        if not 0 <= offset < len(self._held):
            self._fetch(len(buffer))
            offset = 0
        data = self._held[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, wanted: int) -> None:
        """Hold the bytes from this place on: none at the end."""
        in_order = self._at == self._held_at + len(self._held)
        size = max(wanted, self._next if in_order else FIRST)
        self._held, self._held_at = b"", self._at
        if 0 <= self._ended <= self._at:
            return
        self._held, self._tag = self._asked(size)
        if len(self._held) < size:
            self._ended = self._at + len(self._held)
        self._next = min(MOST, max(size, FIRST) * 2)

    def _asked(self, size: int) -> tuple[bytes, str]:
        try:
            return self._whole.ranged(self._at, size, self._tag)
        except _PastEndError:
            return b"", self._tag


class _PastEndError(Exception):
    """A range begins behind the last byte, as that of every empty object does."""


def _got(
    fs: Any, name: str, span: tuple[int, int] | None = None, tag: str = ""
) -> tuple[bytes, Any]:
    """Return (bytes, headers) of an object of S3, of one version: the library has no such call."""
    from fsspec.asyn import sync

    bucket, _, key = name.partition("/")
    asked = {"Bucket": bucket, "Key": key, **fs.req_kw}
    if span is not None:
        asked["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    if tag:
        asked["IfMatch"] = tag
    return sync(fs.loop, _body, fs, asked)


async def _body(fs: Any, asked: Any) -> tuple[bytes, Any]:
    answer = await fs._call_s3("get_object", **asked)  # `call_s3`, in its loop
    try:
        return await answer["Body"].read(), answer
    finally:
        answer["Body"].close()


def _missing() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "not in the store")  # no key: it may hold ids


def _asked(root: Path, ask: Callable[[], Answer]) -> Answer:
    """Return what a request returns.

    Raises FileNotFoundError and PermissionError of one object, StorageError for the store.
    """
    try:
        return store.again(_opened(root)[0], ask)
    except Exception as error:
        raise _fault(root, error) from None


def _fault(root: Path, error: Exception) -> Exception:
    """Return the error to raise: of the object, of the store, or one that is of neither."""
    code, text = faults.code(error), faults.message(error)
    if code in _PAST_END:
        return _PastEndError()
    if code in faults.CONDITION:
        return _changed(root)
    if isinstance(error, FileNotFoundError) and not text:
        return _missing()
    if isinstance(error, PermissionError) and code in _OF_ONE and _can_list(root):
        return PermissionError(errno.EACCES, "the store denies access to an object")
    if text or isinstance(error, OSError):
        return StorageError(f"{shown(root)}: {text or faults.CUT}")
    return error


def _changed(root: Path) -> StorageError:
    return StorageError(f"{shown(root)}: a file changed while it was read: run the command again")


_PAST_END = ("InvalidRange", "416")
_OF_ONE = ("AccessDenied", "403", "Forbidden", "")  # they may concern one object or all


def _can_list(root: Path) -> bool:
    try:
        _any(root)
    except Exception:  # whatever it is, the store does not serve this account
        return False
    return True
