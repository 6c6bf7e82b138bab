"""Writes tables and archives with the same bytes on every run.

CSV (gzip'd where the name ends in .gz), JSON lines, zip and tar.gz files hold no time, user or path
of the machine that wrote them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say


def sha256(content: bytes) -> str:
    """Return the hex digest that checksum lists hold."""
    return hashlib.sha256(content).hexdigest()


def write_bytes(path: Path, content: bytes) -> tuple[str, str]:
    """Write a file, making its folders, and return (path, sha256) for a checksum list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.as_posix(), sha256(content)


def gzipped(content: bytes) -> bytes:
    """Return `content` as gzip without name or time in the header."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as packed:
        packed.write(content)
    return buffer.getvalue()


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    header: str = "",
    separator: str = ",",
) -> tuple[str, str]:
    """Write a table; a cell that a row lacks is empty.

    `header` replaces the first line where that of the collection is not valid CSV (NIH's brackets).
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n", delimiter=separator)
    if header:
        text.write(header + "\n")
    else:
        writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    return write_bytes(path, gzipped(content) if path.suffix == ".gz" else content)


def write_zip(path: Path, members: Mapping[str, bytes]) -> tuple[str, str]:
    """Write a zip, members in sorted order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, members[name])
    return write_bytes(path, buffer.getvalue())


def write_tgz(path: Path, members: Mapping[str, bytes]) -> tuple[str, str]:
    """Write a tar.gz, members in sorted order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(members[name]), 0o644
            archive.addfile(info, io.BytesIO(members[name]))
    return write_bytes(path, gzipped(buffer.getvalue()))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Write one compact JSON object with sorted keys a line."""
    lines = [json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows]
    return write_bytes(path, "".join(lines).encode())


def write_sums(path: Path, sums: Iterable[tuple[str, str]]) -> None:
    """Write a SHA256SUMS file of (path, sha256) pairs, with paths relative to its own folder."""
    root = path.parent
    lines = sorted(f"{digest}  {Path(name).relative_to(root)}\n" for name, digest in sums)
    write_bytes(path, "".join(lines).encode())
