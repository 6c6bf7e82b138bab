"""Where finished files of earlier runs still are, and how they are taken over.

Looked for in the staging folder that a killed run left, in the old output, under its second name in
the state folder, and in DVC's own cache by md5. The second name (a hard link, so it takes no room)
is for the output that DVC deletes before it runs the stage, and has not in its cache because the
stage was last run by hand. Whatever is found is hashed again before it is believed: a rotten copy
is as good as none. Files that are finished are never written to in place, by whatever name.

Where DVC runs the stage no second name is made: DVC takes the output into its cache right after,
and puts a copy of its own in the output's place, so that the second name would keep a file alive
that nobody else has. `sweep` takes away the second names whose files went that way later.
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

from cxr_vlp.pipelines.cache.entries import Receipt, Receipts
from cxr_vlp.pipelines.files import jsonl


@dataclass(frozen=True)
class Stock:
    """The places where a stage's old files may lie."""

    folders: tuple[str, ...]  # staging, old output: laid out like the output
    cache: str = ""  # DVC's cache; "" where there is none
    second: str = ""  # folder of the second names, by sha256; "" for none

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
        if self.second:
            yield Path(self.second) / receipt.sha256
        if self.cache and receipt.md5:
            yield cached(Path(self.cache), receipt.md5)

    def keep(self, path: Path, sha256: str) -> None:
        """Give a finished file its second name, where the file system knows how."""
        if not (self.second and sha256) or not self._may_link(path):
            return
        name = Path(self.second) / sha256
        temporary = name.with_name(f".{sha256}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # another disk, no hard links, no room: then without
            if name.exists() and name.samefile(path):
                return
            name.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            os.link(path, temporary)
            temporary.replace(name)  # and so goes another copy, or one that rotted

    def prune(self, wanted: Collection[str]) -> None:
        """Take away all second names but those of the files with these digests."""
        if self.second and Path(self.second).is_dir():
            for path in Path(self.second).iterdir():
                if path.name not in wanted:
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _may_link(self, path: Path) -> bool:
        """Tell whether another name will do.

        Not for a file that DVC protects (its own copy, or another name of that), nor for a link.
        """
        if path.is_symlink() or (self.cache and path.is_relative_to(self.cache)):
            return False
        with contextlib.suppress(OSError):
            return bool(path.stat().st_mode & stat.S_IWUSR)
        return False


def under_dvc() -> bool:
    """Tell whether DVC runs this stage."""
    return "DVC_STAGE" in os.environ


def sweep(state: Path, project: Path) -> None:
    """Take away second names that are the last of their file, where DVC's cache has it too."""
    alone = [p for p in (state / "stock").glob("*/*/[!.]*") if _links(p) == 1]
    cache = Path(dvc_cache(project)) if alone else Path()
    if not cache.name:
        return
    for folder in {path.parent for path in alone}:
        receipts = Receipts.of_stage(state, folder.parent.name)
        newest = [next(receipts.latest(part), None) for part in receipts.parts(folder.name)]
        held = {r.sha256 for r in newest if r and r.md5 and cached(cache, r.md5).is_file()}
        for path in alone:
            if path.parent == folder and path.name in held:
                path.unlink(missing_ok=True)


def _links(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_nlink
    return 0


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
        now = path.stat()
        if now.st_size != receipt.bytes:
            return False
        return _digest(path, now.st_mtime_ns, now.st_ino) == receipt.sha256
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _digest(path: Path, mtime: int, inode: int) -> str:  # noqa: ARG001 - they are the cache's key
    return jsonl.sha256(path)


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
        if jsonl.sha256(temporary) != receipt.sha256:
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
