"""A raw root in, the relative paths below it out; nothing outside the root is ever opened.

Of a tree, that is, whose folders stay what they are during a run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines import local
from pipelines.faults import ConfigError, IngestError, as_stop


def root(text: str | Path) -> Path:
    """Return an existing raw root, resolved. Raises ConfigError with the fix in the message."""
    local.check(text, "the root")
    path = Path(text).resolve()
    if not text or not path.is_dir():
        raise ConfigError(
            f"no folder at {text or '(no root given)'}: give the raw tree with --root"
        )
    return path


def inside(root: Path, relative: str) -> Path:
    """Return the path of a file below the root.

    Raises IngestError path.escape for an absolute path, `..`, NUL, or a link that leads out.
    """
    parts = PurePosixPath(relative)
    if not relative or "\0" in relative or parts.is_absolute() or ".." in parts.parts:
        raise IngestError("path.escape")
    path = root / parts
    # Most files are no links: then it is their folder that may lead out, and it holds many.
    is_link = os.path.islink(path)  # noqa: PTH114 - Path's own raises where a name is too long
    real = path.resolve() if is_link else _resolved(path.parent)
    if not real.is_relative_to(root):
        raise IngestError("path.escape")
    return path


@functools.lru_cache(maxsize=4096)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


Signature = tuple[int, int, int]  # size in bytes, time in nanoseconds, inode


def signature(path: Path) -> Signature:
    """Return what tells a file from the one that took its place. Raises OSError."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def walk(root: Path) -> Iterator[str]:
    """Yield every file below the root as a POSIX relative path, sorted inside each folder.

    Folders that are links are followed when they stay inside the root and were not seen yet.
    """

    def refuse(error: OSError) -> None:
        raise as_stop(error)

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen or not Path(real).is_relative_to(root):
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        base = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            yield name if base == "." else f"{base}/{name}"


def find(root: Path, *patterns: str, depth: int = 3) -> str:
    """Return the one file that matches the first pattern with a match, up to `depth` folders down.

    "" where nothing matches. A file and its .gz twin count once. Raises ConfigError where several
    releases lie side by side, for reading two at once would mix them.
    """
    for pattern in patterns:
        found: dict[str, str] = {}
        for level in range(depth):
            for path in sorted(root.glob("*/" * level + pattern)):
                relative = path.relative_to(root).as_posix()
                found.setdefault(relative.removesuffix(".gz"), relative)
        if len(found) > 1:
            names = ", ".join(sorted(found.values())[:3])
            raise ConfigError(f"several releases below the root ({names}): point --root at one")
        if found:
            return next(iter(found.values()))
    return ""
