"""Reads the digests that a collection publishes of its files (PhysioNet's SHA256SUMS.txt).

With `digests: official` a scan uses these digests and reads no image. `shards` compares every file
with its digest when it reads the file, and rejects a file that differs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.storage.place import is_remote

NAME = "SHA256SUMS.txt"
DEPTH = 3  # folders below the root: mimic-cxr-jpg/2.1.0/SHA256SUMS.txt
MAX_LINE = 1 << 16  # characters
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def of(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (path below the root, sha256) of all lists below a root.

    Raises ConfigError if there is no list, DataError if a file is not such a list.
    """
    lists = [path for path in _lists(root) if path.is_file()]  # opening a FIFO would block
    if not lists:
        where = "the store" if is_remote(root) else root
        raise ConfigError(
            f"digests: official, and there is no {NAME} in {where}: set digests: read"
        )
    for path in lists:
        yield from rows(path, root)


def _lists(root: Path) -> list[Path]:
    if not is_remote(root):
        return sorted(path for level in range(DEPTH) for path in root.glob("*/" * level + NAME))
    names = sorted(paths.walk(root, members=False))
    ours = [n for n in names if n.rpartition("/")[2] == NAME and n.count("/") < DEPTH]
    return [paths.inside(root, name) for name in ours]


def rows(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yield (path below the root, sha256) of one list, as `sha256sum` writes it.

    A malformed line is skipped; the scan then hashes that file. Raises DataError if most lines are
    malformed.
    """
    folder = path.parent.relative_to(PurePosixPath(str(root))).as_posix()
    good = bad = first = 0
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number in itertools.count(1):
            line = lines.readline(MAX_LINE)
            if not line:
                break
            found = LINE.fullmatch(line.rstrip("\r\n"))
            if found is None:
                bad += bool(line.strip())
                first = first or number
                continue
            good += 1
            name = found[2].removeprefix("./")
            yield name if folder == "." else f"{folder}/{name}", found[1]
    if bad > good:
        raise DataError(
            f"digests.line: line {first} of {NAME}, and most other lines, are not in the format of "
            "sha256sum; download the list again, or set digests: read"
        )
