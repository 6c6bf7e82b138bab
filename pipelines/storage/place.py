"""A place is the path of a file or folder: of this machine, or of an object store.

An address (`s3://bucket/folder`) becomes a `UPath` of the library universal_pathlib. Code that gets
a place may use: `/`, name, stem, suffix, parent, with_name, exists, is_file, is_dir, iterdir, glob,
stat, open("rb"), read_bytes, read_text and unlink. It writes through files/jsonl.py only, and
publishes a folder through files/atomic_dir.py: both know how an object store does it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def place(text: str | Path) -> Path:
    """Return the place that a text names; the type `Path` stands for both kinds."""
    if isinstance(text, str) and _ADDRESS.match(text):
        from upath import UPath  # takes .2 s to import, and most runs need none

        return cast(Path, UPath(text))
    return Path(text)


def is_remote(found: Any) -> bool:
    """Return whether a place, or the text of one, is in an object store."""
    return not isinstance(found, Path) if not isinstance(found, str) else bool(
        _ADDRESS.match(found)
    )  # fmt: skip
