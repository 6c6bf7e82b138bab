"""Writes and reads the lines of a translations file: a text's digest and its back-translation.

`cxr-vlp translate` writes such files and the texts stage reads them. A line is found by the digest
of the text that was translated, so one file serves every collection, split and part.
"""

from __future__ import annotations

import hashlib
import json
import re

FIELDS = ("findings", "impression")  # the sections that may be translated
_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(text: str) -> str:
    """Return the sha256 of a text, in hex: the key of its translation."""
    return hashlib.sha256(text.encode()).hexdigest()


def line(text: str, translation: str) -> bytes:
    """Return the line for `text` and its back-translation."""
    row = {"sha256": digest(text), "text": translation}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def parse(found: bytes) -> tuple[str, str]:
    """Return (digest of the text, its translation) of a line.

    Raises ValueError for any other line; its message holds nothing of the line.
    """
    try:
        row = json.loads(found)
        name, text = row["sha256"], row["text"]
        text.encode()  # half a surrogate pair is JSON, but can never be written into a shard
        whole = set(row) == {"sha256", "text"} and _DIGEST.fullmatch(name)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        whole = None
    if not whole:
        raise ValueError("no translation")
    return name, text
