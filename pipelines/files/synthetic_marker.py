"""Reads the marker that shows whether `cxr-vlp synthetic` made a raw tree.

The marker is TREE/.synthetic.json. It is written before anything else of a tree, and again when the
tree is complete. A tree without a marker may be a download, even in the folder of the demo.
Versions 0.2 and 0.3 named the file `.lookalike.json`; it is still recognised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files import raw_objects
from cxr_vlp.pipelines.files.raw_objects import RawObject
from cxr_vlp.pipelines.storage.place import is_remote

NAME = ".synthetic.json"
OLD_NAME = ".lookalike.json"
MADE_BY = "cxr-vlp synthetic"
_WRITERS = (MADE_BY, "python -m pipelines.lookalike")


def read(tree: Path) -> dict[str, Any] | None:
    """Return a tree's marker; None if there is none, or one that this project did not write."""
    for name in (NAME, OLD_NAME):
        try:
            found = json.loads(_file(tree, name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("made_by") in _WRITERS:
            return found
    return None


def _file(tree: Path, name: str) -> Path | RawObject:
    return RawObject(tree, name) if is_remote(tree) else tree / name


def wholly_synthetic(tree: Path) -> bool:
    """Return whether nothing in a tree is real: no image, report or file came from elsewhere."""
    found = read(tree)
    if found is None or not found["files"] or found["drawing"].get("own", True):
        return False
    return count(tree) == found["files"]


def count(tree: Path) -> int:
    """Return the number of files and links in a tree, the marker included."""
    if is_remote(tree):
        return len(raw_objects.listing(tree).names)
    return sum(path.is_file() or path.is_symlink() for path in tree.rglob("*"))
