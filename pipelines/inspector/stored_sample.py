"""Reads one sample from its tar, with one read a member, and tells why if that fails.

A tar may be cut, replaced or removed while the page is open. The header before a member must name
it, so bytes of another sample are never shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import tar, versions

IMAGES = {b"\xff\xd8\xff": ("jpg", "image/jpeg"), b"\x89PNG": ("png", "image/png")}


class UnreadableError(Exception):
    """A member cannot be read; the message says why, without ids or text."""


def image(folder: Path, row: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the image of a row of the table and its MIME type. Raises UnreadableError."""
    data, ending = member(folder, row, "")
    for start, (form, kind) in IMAGES.items():
        if data.startswith(start) and form == ending:
            return data, kind
    raise UnreadableError("the bytes are no JPEG and no PNG")


def document(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON member of a row. Raises UnreadableError."""
    data, _ = member(folder, row, "json_")
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or versions.refusal(found.get("format")):
        raise UnreadableError("the JSON member is damaged")
    return found


def member(folder: Path, row: Mapping[str, Any], name: str) -> tuple[bytes, str]:
    """Return the bytes of a member and the ending of its name. Raises UnreadableError.

    `name` begins its columns: "" the image, "json_" the JSON member, "txt_" the caption.
    """
    offset, size = row[f"{name}offset"], row[f"{name}bytes"]
    try:
        with (folder / row["split"] / row["shard"]).open("rb") as file:
            file.seek(offset - tar.BLOCK)
            data = file.read(tar.BLOCK + size)
    except FileNotFoundError:
        raise UnreadableError("the tar is not there") from None
    except OSError:
        raise UnreadableError("the tar cannot be read") from None
    if len(data) < tar.BLOCK + size:
        raise UnreadableError("the tar is cut off")
    key, _, ending = _name(data[: tar.BLOCK]).partition(".")
    if key != row["key"]:
        raise UnreadableError("the tar has changed")
    return data[tar.BLOCK :], ending


def _name(header: bytes) -> str:
    return header[:100].rstrip(b"\0").decode(errors="replace")
