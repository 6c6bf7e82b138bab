"""A folder of output, built beside the old one and put in its place by one rename.

A lock keeps a second run away. What a killed run left in the staging folder stays there for the
next one to take over; nothing in it is believed before its digest was checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError, LockedError
from cxr_vlp.pipelines.files import privacy

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextlib.contextmanager
def publishing(output: Path, owner: str, *, resume: bool = False) -> Iterator[Path]:
    """Yield a staging folder that becomes `output` when the block ends without an error.

    `owner` is the file that marks such an output; a folder that is not empty and holds none is
    somebody else's, and is refused rather than replaced: ConfigError, as it is for a mount point,
    which cannot be renamed. With `resume` the staging folder keeps what an earlier run left in it,
    and the caller ends with `keep_only`.
    Raises LockedError where another run holds the output.
    """
    output = output.resolve()  # a link to a larger disk stays one: what it points at is replaced
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
        yield place
        privacy.as_narrow_as(output, place)
        sync_folders(place)
        _swap(place, output)


def staging(output: Path) -> Path:
    """Return where an output is built: beside it, for a rename does not cross file systems."""
    output = output.resolve()
    return output.with_name(f".{output.name}.staging")


@contextlib.contextmanager
def lock(output: Path) -> Iterator[None]:
    """Hold the output for this run; a second run is told who has it. Raises LockedError."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    with path.open("ab+", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().decode() or "unknown"
            raise LockedError(f"{output}: another run (process {holder}) is writing it") from None
        with contextlib.suppress(OSError):  # it is only a courtesy, and the disk may be full
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def keep_only(folder: Path, files: Collection[str]) -> None:
    """Remove everything below a folder but these files, given by their relative paths."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # not empty: it holds what is kept
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in files:
            path.unlink()


def _recover(output: Path) -> None:
    """Put the old set back where a run was killed between two renames."""
    old = _aside(output)
    if old.exists() and not output.exists():
        old.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _swap(place: Path, output: Path) -> None:
    if not output.exists():
        place.rename(output)
    elif not _exchange(place, output):
        # no such call here: for a moment there is no set, but never a mixed one
        old = _aside(output)
        output.rename(old)
        place.rename(output)
        place = old
    sync_folder(output.parent)
    shutil.rmtree(place, ignore_errors=True)


def _aside(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system cannot (Linux renameat2).

    A reader then finds the old set or the new one at every moment.
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
    """Make renames inside a folder durable, where the file system knows how."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
