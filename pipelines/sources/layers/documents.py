"""Reads a JSON file of annotations as a whole; those of the layers have a few megabytes."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths

LARGEST = 1 << 30  # bytes; the largest of CheXlocalize, with masks, has some tens of megabytes


def read(path: Path) -> Any:
    """Return the content of a JSON file. Raises DataError, which never quotes it."""
    try:
        if paths.plain(path, "layer").st_size > LARGEST:
            raise DataError(f"layer.broken: {path.name} has more than {LARGEST >> 20:,} MB")
        return json.loads(_bytes(path))
    except PermissionError:
        raise DataError(f"layer.broken: {path.name}: correct its permissions") from None
    except (IngestError, OSError, EOFError, zlib.error, ValueError, RecursionError):
        raise DataError(
            f"layer.broken: {path.name} is no JSON file, or is cut; download it again"
        ) from None


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    with gzip.open(io.BytesIO(data)) as stream:
        unpacked = stream.read(LARGEST + 1)
    if len(unpacked) > LARGEST:
        raise DataError(f"layer.broken: {path.name} unpacks to more than {LARGEST >> 20:,} MB")
    return unpacked
