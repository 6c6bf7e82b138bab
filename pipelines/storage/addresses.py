"""What an address of an object store is, and how a message shows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# scheme -> (the module that reads it, the package to install)
STORES = {
    "s3": ("s3fs", "s3fs"),
    "gs": ("gcsfs", "gcsfs"),
    "gcs": ("gcsfs", "gcsfs"),
    "abfs": ("adlfs", "adlfs"),
    "abfss": ("adlfs", "adlfs"),
    "az": ("adlfs", "adlfs"),
    "memory": ("fsspec", "fsspec"),  # in this process only; for tests
}


def is_remote(found: Any) -> bool:
    """Return whether a place, or the text of one, is in an object store."""
    if isinstance(found, str):
        return bool(ADDRESS.match(found))
    return not isinstance(found, Path)


def is_store(text: str) -> bool:
    """Return whether a text is an address of a kind of store that this program reads."""
    return is_remote(text) and text.partition(":")[0].lower() in STORES


def shown(found: Any) -> str:
    """Return a place for a message: of an address its scheme and bucket, as the rest may hold ids.

    A path of this machine is shown whole.
    """
    text = str(found)
    if not is_remote(text):
        return text
    scheme, _, rest = text.partition("://")
    bucket = rest.partition("/")[0].rpartition("@")[2]  # without a user and a password
    return f"{scheme}://{bucket}/..."
