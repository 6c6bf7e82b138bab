"""Replaces an output folder atomically: the new folder is built beside it and then renamed.

A lock prevents a second run on the same output. The next run reuses the files that a killed run
left in the staging folder, after it has checked their digests. How an object store does all this is
in storage/publication.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError, LockedError
from cxr_vlp.pipelines.files import privacy
from cxr_vlp.pipelines.storage import publication
from cxr_vlp.pipelines.storage.place import is_remote

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextlib.contextmanager
def publishing(output: Path, owner: str, *, resume: bool = False) -> Iterator[Path]:
    """Yield a staging folder that becomes `output` when the block ends without an error.

    `owner` is the file that marks such an output. A folder that is not empty and lacks this file
    was made by somebody else and is not replaced. With `resume` the staging folder keeps what an
    earlier run left in it, and the caller ends with `keep_only`.
    Raises ConfigError for such a folder, and for a mount point, which cannot be renamed;
    LockedError if another run holds the output.
    """
    if is_remote(output):
        with publication.publishing(output, owner, resume=resume) as place:
            yield place
        return
    output = output.resolve()  # a link stays a link (to a larger disk, say): its target is replaced
    if output.is_mount():
        raise ConfigError(f"{output} is a mount point: give a folder below it as --out")
    with lock(output):
        _recover(output)
        if output.exists() and any(output.iterdir()) and not (output / owner).exists():
            raise ConfigError(f"{output} is not empty and holds no {owner}: choose another --out")
        place = staging(output)
        if not resume:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        try:
            yield place
        except BaseException:
            if not resume:  # no run continues from it
                shutil.rmtree(place, ignore_errors=True)
            raise
        privacy.as_narrow_as(output, place)
        sync_folders(place)
        _swap(place, output)


def staging(output: Path) -> Path:
    """Return the folder of the new output: beside it, as renames cannot cross file systems.

    In a store it is in the output, because the rights of a user may end at that folder.
    """
    if is_remote(output):
        return output / publication.STAGING
    output = output.resolve()
    return output.with_name(f".{output.name}.staging")


@contextlib.contextmanager
def lock(output: Path) -> Iterator[None]:
    """Lock the output for this run. Raises LockedError, which names the process that holds it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    with path.open("ab+", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().decode() or "unknown"
            raise LockedError(f"{output}: another run (process {holder}) is writing it") from None
        with contextlib.suppress(OSError):  # the number is only information; the disk may be full
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def remove_left(output: Path) -> None:
    """Remove what a killed run left beside an output on a disk that stays as it is.

    What is beside it may also be of a run that is writing it now: then nothing is removed.
    """
    output = output.resolve()
    left = (staging(output), _aside(output))
    if any(path.exists() for path in left):
        with contextlib.suppress(LockedError), lock(output):
            for path in left:
                if path.exists():  # another run may have ended since
                    shutil.rmtree(path)


def keep_only(folder: Path, files: Collection[str], kept: Mapping[str, Path] | None = None) -> None:
    """Remove everything below a staging folder except these files, given by their relative paths.

    `kept` is for stores, where a file of an earlier output is not linked into the staging folder:
    it gives for such files the place that they are copied from when the folder is published.
    """
    if is_remote(folder):
        publication.keep_only(folder, files, kept)
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # the content of a folder before itself
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # not empty: it contains files that are kept
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in files:
            path.unlink()


def _recover(output: Path) -> None:
    """Restore the old output if a run was killed between two renames."""
    old = _aside(output)
    if old.exists() and not output.exists():
        old.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _swap(place: Path, output: Path) -> None:
    if not output.exists():
        place.rename(output)
    elif not _exchange(place, output):
        # the system lacks this call: for a moment there is no output, but never a mixed one
        old = _aside(output)
        output.rename(old)
        place.rename(output)
        place = old
    sync_folder(output.parent)
    shutil.rmtree(place, ignore_errors=True)


def _aside(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False if the system cannot.

    At every moment a reader finds either the old output or the new one (Linux renameat2).
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def sync_folders(folder: Path) -> None:
    """Make the names in a folder and in those below it durable."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable, where the file system supports it."""

    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
