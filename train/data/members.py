"""A shard's path comes in, its members go out one after the other: name and bytes.

The format's own small part of tar and nothing else: plain USTAR files, a whole archive. The
standard library's reader, on which webdataset's is built, understands twenty years of dialects and
takes three to four times as long (benchmarks/loader_speed.py).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from cxr_vlp.train.errors import DataError

BLOCK = 512
END = bytes(BLOCK)
PLAIN = b"0\0"  # both mean a file


def members(path: Path, kinds: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of every member, in the order of the archive.

    `kinds`: only members with these endings; the others are passed over and not read.

    Raises DataError, naming the shard and the member's place but never its name, for an archive
    that is cut off or damaged and for any member that is not a plain file.
    """
    try:
        with path.open("rb") as file:
            for place, (name, size) in enumerate(_headers(path, file)):
                if kinds and name.partition(".")[2] not in kinds:
                    file.seek(size + -size % BLOCK, os.SEEK_CUR)
                    continue
                content = file.read(size)
                if len(content) < size or len(file.read(-size % BLOCK)) < -size % BLOCK:
                    raise DataError(f"{path}: cut off inside member {place + 1}")
                yield name, content
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _headers(path: Path, file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Yield (name, size) of the members; who takes one reads its content before the next."""
    place = 1
    while (block := file.read(BLOCK)) != END:
        if len(block) < BLOCK:
            raise DataError(f"{path}: cut off before member {place}")
        try:
            yield _header(block)
        except ValueError:
            raise DataError(
                f"{path}: cannot be read: member {place} is damaged, or not a plain USTAR file "
                "as cxr-vlp shards writes it"
            ) from None
        place += 1


def _header(block: bytes) -> tuple[str, int]:
    """Return (name, size in bytes) of a header; ValueError for all but a plain file's.

    Offsets: POSIX 1003.1, pax, "ustar Interchange Format".
    """
    told = int(block[148:156].strip(b"\0 "), 8)
    # The sum is taken with eight spaces where it stands itself.
    if sum(block) - sum(block[148:156]) + 8 * 32 != told or block[257:262] != b"ustar":
        raise ValueError("no header")
    if block[156] not in PLAIN:
        raise ValueError("no plain file")
    prefix, name = (_text(part) for part in (block[345:500], block[:100]))
    return f"{prefix}/{name}" if prefix else name, int(block[124:136].rstrip(b"\0 "), 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode()
