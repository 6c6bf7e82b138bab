"""Makes the keys of studies and images from ids of any form, so that no two ids share a key.

A key has the letters [a-z0-9_-] and is short, because it is part of file names.
"""

from __future__ import annotations

import functools
import hashlib
import re

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.format.sample import LONGEST_KEY

LONGEST = 36  # characters; a longer id becomes a digest. Study and image together fit a sample key
_ROOM = LONGEST_KEY - 2  # of a sample key, without the two hyphens between its parts
_PLAIN = re.compile(r"[a-z0-9_-]+")
_UID = re.compile(r"\d+(?:\.\d+){3,}", re.ASCII)
_LIKE_UID = re.compile(r"\d+(?:-\d+){3,}", re.ASCII)
# What a spreadsheet makes of a number: 50414267.0, 5.04E+07, 50,414,267. Ids with letters are none.
_NUMBER = re.compile(r"\d+\.0+|\d(?:\.\d+)?[eE]\+\d+|\d{1,3}(?:,\d{3})+(?:\.0+)?", re.ASCII)


def restored(text: str) -> tuple[str, bool]:
    """Return (an id, whether a spreadsheet had changed it into a number).

    Raises IngestError csv.id for an id that is missing, or was rounded.
    """
    if not text:
        raise IngestError("csv.id")
    if _NUMBER.fullmatch(text):
        return cells.identifier(text), True
    return text, False


def longest_image(source: str, study: str) -> int:
    """Return how long an image's key may be in a study; other tables are joined on whole ids."""
    return max(LONGEST, _ROOM - len(source) - len(study))


@functools.lru_cache(maxsize=1 << 12)
def key(text: str, longest: int = LONGEST) -> str:
    """Return the key of an id. Ids that differ, if only in case, have different keys."""
    if len(text) <= longest:
        if _PLAIN.fullmatch(text) and not _LIKE_UID.fullmatch(text):
            return text
        if _UID.fullmatch(text):
            return text.replace(".", "-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    slug = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
    if not slug or len(slug) > LONGEST - 9:
        return digest[:16]
    return f"{slug}-{digest[:8]}"
