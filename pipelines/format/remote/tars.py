"""Fetches the tars of a set on an object store, whole, into a cache on this machine's disk.

A tar of a set with a manifest is named by its SHA-256 in the cache, so a tar that a new version of
the set did not change is fetched once; another tar is named by its address and identity. A tar is
checked, then renamed to its name: what has the name is whole. Several processes share a cache. The
tars that were not read for the longest time are removed first; a process that reads one keeps it
until it has read it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cxr_vlp.pipelines.format.errors import AbsentError, FormatError, StoreError
from cxr_vlp.pipelines.format.remote import store

GIGABYTE = 1_000_000_000
SIZE = 64  # gigabytes: MIMIC-CXR at 512 pixels has 35
FOLDER_VARIABLE, SIZE_VARIABLE = "CXR_SHARD_CACHE", "CXR_SHARD_CACHE_GB"
_REMOVED = 8  # times that a tar is fetched again because it was removed before it was opened
_FREE = 64 << 20  # bytes of the disk that the cache leaves free


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of this machine for fetched tars, and how many bytes they may have together."""

    folder: Path
    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError("a cache of tars has at least one byte")


def default() -> Cache:
    """Return the cache that the variables name; else one in the user's own folder of caches.

    Raises ValueError for a size that is no number above 0.
    """
    size = os.environ.get(SIZE_VARIABLE, "")
    named = os.environ.get(FOLDER_VARIABLE, "")
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = Path(named) if named else home / "cxr-vlp" / "shards"
    return Cache(folder.absolute(), round(float(size or SIZE) * GIGABYTE))


@dataclass(frozen=True, slots=True)
class RemoteTar:
    """A tar in a store: where it is, its bytes, and how it is known to be whole.

    `sha256` is "" where no manifest gives it; then `identity` is compared.
    """

    address: str
    size: int
    sha256: str
    identity: str
    cache: Cache

    def open(self) -> BinaryIO:
        """Return the tar, opened; it is fetched first where the cache does not hold it.

        Raises StoreError where the store or the cache's disk fails, FormatError where the object
        is not the tar that the manifest names.
        """
        for _ in range(_REMOVED):
            path = self.fetched()
            with contextlib.suppress(FileNotFoundError):  # another process made room meanwhile
                return path.open("rb")
        raise StoreError(f"{self.cache.folder}: too small for those who read from it: {_LARGER}")

    @property
    def name(self) -> str:
        """The file name."""
        return self.address.rpartition("/")[2]

    def stream(self) -> Stream:
        """Return the tar's bytes as they arrive; nothing is kept, and nothing checks them."""
        return Stream(self._pieces())

    def fetched(self) -> Path:
        """Return the tar's path in the cache; it is fetched where it is not there yet."""
        path = self.cache.folder / self._name[:2] / f"{self._name}.tar"
        try:
            if _is_whole(path, self.size):
                return path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _claimed(path.with_suffix(".part")) as part:
                if not _is_whole(path, self.size):  # else another process has fetched it
                    _make_room(self.cache, self.size)
                    self._fetch(part)
                    path.with_suffix(".part").replace(path)
        except StoreError:
            raise
        except OSError as error:
            raise _of_disk(error, self.cache) from error
        return path

    @property
    def _name(self) -> str:
        text = f"{self.address}\n{self.identity}\n{self.size}"
        return self.sha256 or hashlib.sha256(text.encode()).hexdigest()

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from store.chunks(self.address, self.size)
        except AbsentError:
            raise StoreError(
                f"{self.address}: it is no longer there: the set was published again, or removed, "
                "while it was read: start the command again"
            ) from None

    def _fetch(self, part: BinaryIO) -> None:
        digest = hashlib.sha256()
        part.truncate(0)
        for data in self._pieces():
            digest.update(data)
            part.write(data)
        part.flush()
        os.fsync(part.fileno())
        if self.sha256 and digest.hexdigest() != self.sha256:
            raise FormatError(
                "shard.digest",
                "the object is not the tar that the manifest names: copy the set again",
            )
        if not self.sha256 and store.identity(self.address) != (self.size, self.identity):
            raise StoreError(
                f"{self.address}: it was replaced while it was read: start the command again"
            )


class Stream(io.RawIOBase):
    """Reads pieces of bytes as one file, from its begin to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the piece at hand goes; return how far, 0 at the end."""
        if not self._held:
            self._held = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size


_LARGER = "give it more (--shard-cache-size), or another disk (--shard-cache)"


def _is_whole(path: Path, size: int) -> bool:
    """Return whether the cache has a tar; it then counts as read now."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[BinaryIO]:
    """Yield an unfinished file, which this process alone writes; wait while another one does."""
    while True:
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        fcntl.flock(stream, fcntl.LOCK_EX)
        # the one who held it may have renamed or removed it: then the lock is on another file
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                break
        stream.close()
    try:
        yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        stream.close()


def _make_room(cache: Cache, size: int) -> None:
    """Remove tars, least recently read first, until one of `size` bytes fits in.

    Raises StoreError if it is larger than the whole cache, or than what the disk has.
    """
    if size > cache.limit:
        raise StoreError(
            f"{cache.folder}: a tar of {size / GIGABYTE:.1f} GB does not fit in its "
            f"{cache.limit / GIGABYTE:.1f} GB: {_LARGER}"
        )
    held = _held(cache.folder)
    used = sum(stat.st_size for stat, _ in held)
    free = shutil.disk_usage(cache.folder).free - _FREE
    for stat, path in sorted(held, key=lambda each: (each[0].st_mtime_ns, each[1])):
        if used + size <= cache.limit and size <= free:
            return
        if _removed(path):
            used, free = used - stat.st_size, free + stat.st_size
    if size > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _held(folder: Path) -> list[tuple[os.stat_result, Path]]:
    found = []
    for path in folder.glob("??/*.*"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat(), path))
    return found


def _removed(path: Path) -> bool:
    """Remove a file of the cache; an unfinished one only where nobody writes it."""
    with contextlib.suppress(FileNotFoundError):
        if path.suffix == ".part":
            with path.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                if path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                    path.unlink()
                return True
        path.unlink()
    return True


def _of_disk(error: OSError, cache: Cache) -> StoreError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else error.strerror or type(error).__name__
    return StoreError(
        f"{cache.folder}: {why}: shards of object stores are kept there: give another folder "
        f"(--shard-cache), or {'less' if full else 'rights to write in it'}"
        f"{' (--shard-cache-size)' if full else ''}"
    )
