"""Where finished files of earlier runs still are, and how they are taken over.

Looked for in the staging folder that a killed run left, in the old output, and in DVC's own cache
by md5 (DVC deletes an output before it runs the stage). Whatever is found is hashed again before
it is believed: a rotten copy is as good as none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines import storage
from pipelines.earlier.receipts import Receipt


@dataclass(frozen=True)
class Stock:
    """The places where a stage's old files may lie."""

    folders: tuple[str, ...]  # staging, old output: laid out like the output
    cache: str = ""  # DVC's cache; "" where there is none

    def find(self, receipt: Receipt) -> Path | None:
        """Return a file that is, byte for byte, the one the receipt tells of."""
        for path in self._places(receipt):
            if _is(path, receipt):
                return path
        return None

    def restore(self, receipt: Receipt, target: Path) -> bool:
        """Put the receipt's file at `target`; False where no sound copy of it is left."""
        if not receipt.sha256:  # there was nothing to write
            return True
        for path in self._places(receipt):
            if path == target and _is(path, receipt):
                return True
            if path != target and _take(path, receipt, target, link=self._may_link(path)):
                return True
        return False

    def _places(self, receipt: Receipt) -> Iterator[Path]:
        yield from (Path(folder) / receipt.file for folder in self.folders)
        if self.cache and receipt.md5:
            yield cached(Path(self.cache), receipt.md5)

    def _may_link(self, path: Path) -> bool:
        """Tell whether a second name will do: not for DVC's own copy, nor for a link to it."""
        return not path.is_symlink() and not (self.cache and path.is_relative_to(self.cache))


def cached(cache: Path, md5: str) -> Path:
    """Return where DVC 3 keeps a file of this md5. All we know of its cache's layout is here."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def dvc_cache(folder: Path) -> str:
    """Return the cache folder of the DVC project around `folder`; "" where there is none."""
    if not any((parent / ".dvc").is_dir() for parent in (folder, *folder.parents)):
        return ""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _is(path: Path, receipt: Receipt) -> bool:
    try:
        stat = path.stat()
        if stat.st_size != receipt.bytes:
            return False
        return _digest(path, stat.st_mtime_ns, stat.st_ino) == receipt.sha256
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _digest(path: Path, mtime: int, inode: int) -> str:  # noqa: ARG001 - they are the cache's key
    return storage.sha256(path)


def _take(path: Path, receipt: Receipt, target: Path, *, link: bool) -> bool:
    """Give a sound file the target's name: by a second name, else by a copy hashed on the way."""
    if not path.is_file() or path.stat().st_size != receipt.bytes:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        if not (link and _linked(path, temporary)):
            _copy(path, temporary)
        if storage.sha256(temporary) != receipt.sha256:
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
