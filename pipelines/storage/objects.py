"""The operations on single objects that a stage needs, over local disks and object stores.

A place is a file of a disk or an object of a store. Its identity is a text that changes when
somebody writes it again: the ETag of a store, or size, time and inode of a disk. The two puts with
a condition never overwrite what somebody else wrote:

| kind | put if absent | put if the identity is the one given |
|---|---|---|
| s3:// | If-None-Match, decided by the server | If-Match, decided by the server |
| disk | a hard link of a finished file | compared and renamed under a lock file |
| memory:// | under a lock of this process | the same |
| gs://, abfs:// | decided by the server, if its library can | compared, then put |

In the last case somebody who writes between the two steps is overwritten. The lock of an output
(lease.py), which every run of this program holds, keeps its own runs from that.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.format.remote import faults, store
from cxr_vlp.pipelines.storage.place import is_remote, shown

PIECE = 16 << 20  # bytes of one piece of a large upload
AT_ONCE = 4  # pieces that are sent at the same time: 64 MiB of memory
_MEMORY = threading.Lock()


class Found(NamedTuple):
    """One file of a listing."""

    name: str  # relative to the folder, with "/"
    size: int  # bytes
    identity: str


def listing(folder: Path) -> list[Found]:
    """Return all files below a folder, sorted by name; of an absent folder none."""
    if not is_remote(folder):
        files = (path for path in folder.rglob("*") if path.is_file())
        return sorted(_found(path.relative_to(folder).as_posix(), path) for path in files)
    place: Any = folder
    with _translated(folder):
        return sorted(
            Found(name, int(facts["size"]), _tag(place, facts))
            for name, facts in store.below(str(folder))
            # an empty object with the name of a folder is made by consoles of stores
            if name and not name.endswith("/")
        )


def identity(path: Path) -> str:
    """Return the identity of a file, "" if there is none."""
    try:
        if not is_remote(path):
            return _found("", path).identity
        place: Any = path
        with _translated(path):
            facts = place.fs.info(place.path)
            return _tag(place, facts) if facts["type"] == "file" else ""
    except FileNotFoundError:
        return ""


def is_etag(path: Path, identity: str) -> bool:
    """Return whether an ETag of S3 stands for the bytes of a file of this machine.

    It is their MD5; of an object that was put in N pieces, the MD5 of the pieces' MD5s, and "-N".
    False also if it does not tell: of an encrypted object, or of pieces of another size.
    """
    wanted = identity.strip('"')
    pieces = wanted.partition("-")[2]
    if not pieces:
        return _md5s(path, 0)[0].hex() == wanted
    found = _md5s(path, 0 if pieces == "1" else PIECE)
    whole = hashlib.md5(b"".join(found), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(found)}" == wanted


def _md5s(path: Path, size: int) -> list[bytes]:
    """Return the MD5 of each piece of so many bytes; 0: of the whole file."""
    digests = [hashlib.md5(usedforsecurity=False)]
    held = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            if size and held == size:
                digests.append(hashlib.md5(usedforsecurity=False))
                held = 0
            digests[-1].update(block)
            held += len(block)
    return [each.digest() for each in digests]


def read_range(path: Path, start: int, size: int) -> bytes:
    """Return at most `size` bytes from `start` on; fewer at the end of the file."""
    if not is_remote(path):
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(size)
    place: Any = path
    length = path.stat().st_size
    if start >= length or not size:
        return b""
    with _translated(path):
        return bytes(place.fs.cat_file(place.path, start=start, end=min(start + size, length)))


def put_file(source: Path, target: Path) -> None:
    """Put a file of this machine to a place of a store; the object is there whole or not at all."""
    place: Any = target
    options: dict[str, Any] = {}
    if place.protocol == "s3":
        options = {"chunksize": PIECE, "max_concurrency": AT_ONCE}
    with _translated(target):
        place.fs.put_file(str(source), place.path, **options)


def get_file(source: Path, target: Path) -> None:
    """Copy an object of a store to a file of this machine. Raises StorageError if it is cut."""
    place: Any = source
    size = source.stat().st_size
    with _translated(source), target.open("wb") as stream:
        for data in store.pieces(str(place), size):
            stream.write(data)
    if target.stat().st_size != size:
        raise StorageError(f"{shown(source)}: an object arrived incomplete: run it again")


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a file of this machine with the bytes of a place; absent if the place is.

    A change of the copy changes nothing at the place: `put_file` puts it back.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as folder:
        copy = Path(folder) / path.name
        if not is_remote(path):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path, copy)
        elif path.is_file():
            get_file(path, copy)
        yield copy


def put_if_absent(path: Path, data: bytes) -> bool:
    """Put a file unless there is one; return whether the place holds these bytes now.

    An answer that was lost is tried again by the library, and then finds the object that the first
    try made: so an object with the same bytes counts as put.
    """
    if not is_remote(path):
        return _link_if_absent(path, data) or path.read_bytes() == data
    place: Any = path
    with _translated(path):
        if place.protocol == "memory":
            return _put_in_memory(place, data, "")
        if "mode" not in inspect.signature(place.fs._pipe_file).parameters:
            raise StorageError(f"{shown(path)}: the installed {place.fs.__module__} is too old")
        try:
            place.fs.pipe_file(place.path, data, mode="create")
        except Exception as error:
            if not faults.conflict(error):
                raise
            return _holds(path, data)
    return True


def replace_if(path: Path, data: bytes, before: str) -> bool:
    """Put a file if its identity is `before` ("": if there is none); return whether it was done.

    See `put_if_absent` for an answer that was lost.
    """
    if not before:
        return put_if_absent(path, data)
    if not is_remote(path):
        return _rename_if(path, data, before)
    place: Any = path
    with _translated(path):
        if place.protocol == "memory":
            return _put_in_memory(place, data, before)
        try:
            _put_if_match(place, data, before)
        except Exception as error:
            if not faults.conflict(error) and not _absent(error):
                raise
            return _holds(path, data)
    return True


def copy(source: Path, target: Path) -> None:
    """Copy a file: inside one store on its server, else through this machine."""
    one: Any = source
    other: Any = target
    if str(source) == str(target):
        return
    if is_remote(source) and is_remote(target) and one.protocol == other.protocol:
        with _translated(target):
            other.fs.cp_file(one.path, other.path)
    elif is_remote(target):
        with local_copy(source) as local:
            put_file(local, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_remote(source):
            get_file(source, target)
        else:
            shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    place: Any = path
    with contextlib.suppress(FileNotFoundError), _translated(path):
        place.fs.rm_file(place.path)


def remove_all(folder: Path) -> None:
    """Remove a folder with everything below it, if it is there.

    The request that removes many objects of S3 answers "done" also where it could not remove some:
    these are removed one by one, which raises what is wrong.
    """
    if not is_remote(folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        return
    place: Any = folder
    if names := [found.name for found in listing(folder)]:
        with _translated(folder):
            store.remove([str(place / name) for name in names])
        for left in listing(folder):
            remove(folder / left.name)


def _translated(path: Path) -> contextlib.AbstractContextManager[None]:
    # imported here because the library of stores takes .2 s to import
    from cxr_vlp.pipelines.storage import strict

    return strict.translated(path)


def _found(name: str, path: Path) -> Found:
    now = path.stat()
    return Found(name, now.st_size, f"{now.st_size}-{now.st_mtime_ns}-{now.st_ino}")


def _tag(place: Any, facts: Mapping[str, Any]) -> str:
    """Return the identity in the facts of an object: what a store changes with each write."""
    if place.protocol == "memory":
        return hashlib.sha256(place.fs.cat_file(facts["name"])).hexdigest()
    tags = (facts.get(name) for name in ("etag", "ETag", "generation", "content_md5"))
    return str(next(filter(None, tags), ""))


def _holds(path: Path, data: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes() == data
    return False


def _absent(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError) and not faults.message(error)


def _put_if_match(place: Any, data: bytes, before: str) -> None:
    """Put an object whose identity is `before`. Raises FileExistsError if it has another."""
    if place.protocol == "s3":
        place.fs.pipe_file(place.path, data, IfMatch=before)
        return
    if identity(place) != before:
        raise FileExistsError
    place.fs.pipe_file(place.path, data)


def _put_in_memory(place: Any, data: bytes, before: str) -> bool:
    with _MEMORY:
        if identity(place) != before:
            return _holds(place, data)
        place.fs.pipe_file(place.path, data)
        return True


def _written(path: Path, data: bytes) -> Path:
    """Write data beside a path, and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary


def _link_if_absent(path: Path, data: bytes) -> bool:
    temporary = _written(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _rename_if(path: Path, data: bytes, before: str) -> bool:
    with path.with_name(f".{path.name}.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if identity(path) != before:
            return _holds(path, data)
        _written(path, data).replace(path)
    return True
