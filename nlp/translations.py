"""A text and its back-translation in, a line of a translations file out, and the way back.

`cxr-vlp translate` writes such files and the texts stage reads them. A line goes by the digest of
the text that was translated, so one file serves every collection, split and part.
"""

from __future__ import annotations

import hashlib
import json
import re

FIELDS = ("findings", "impression")  # of a report; what may be translated
_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest(text: str) -> str:
    """Return the sha256 of a text, in hex, by which its translation goes."""
    return hashlib.sha256(text.encode()).hexdigest()


def line(text: str, translation: str) -> bytes:
    """Return the line that says how `text` reads in other words."""
    row = {"sha256": digest(text), "text": translation}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def parse(found: bytes) -> tuple[str, str]:
    """Return (digest of the text, its translation) of a line.

    Raises ValueError, which says nothing of what the line holds, where it is none.
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
