"""Allows a tree to be written again or removed only if `cxr-vlp synthetic` made it.

The marker in a tree (`files.synthetic_marker`) shows that. This module writes the marker and
checks it before a tree is removed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files.synthetic_marker import MADE_BY, NAME, OLD_NAME, count, read


class ForeignError(ValueError):
    """A folder has files that this command did not make. The message names it and the remedy."""


def is_current(tree: Path, drawing: Mapping[str, Any]) -> bool:
    """Return whether a tree is complete, and made with the same settings by the same code."""
    found = read(tree)
    return found is not None and bool(found["files"]) and found["drawing"] == dict(drawing)


def refuse_foreign(tree: Path) -> bool:
    """Return whether a tree that this command made exists.

    Raises ForeignError if the place holds anything else: a folder without the marker, a link,
    or more files than were written.
    """
    found = read(tree)
    if tree.is_symlink():
        raise ForeignError(f"{tree} is a link: give another --out, or remove the link")
    if found is None:
        if tree.exists() and not (tree.is_dir() and not any(tree.iterdir())):
            raise ForeignError(
                f"{tree} holds files that this command did not make (there is no {NAME}): "
                "give another --out, or move them"
            )
        return False
    if found["files"] and count(tree) > found["files"]:
        raise ForeignError(f"{tree} holds files that were added after it was made: move them")
    return True


def clear(tree: Path) -> bool:
    """Remove a tree that this command made and its truth file; return whether there was one.

    Raises ForeignError, and removes nothing, where there is anything else.
    """
    if not refuse_foreign(tree):
        return False
    # the marker is removed last, so that the rest of a killed run is still recognised
    for path in tree.iterdir():
        if path.name not in (NAME, OLD_NAME):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(tree)
    truth(tree).unlink(missing_ok=True)
    return True


def begin(tree: Path, drawing: Mapping[str, Any]) -> None:
    """Mark a tree that is going to be written."""
    tree.mkdir(parents=True, exist_ok=True)
    _write(tree, drawing, 0)


def finish(tree: Path, drawing: Mapping[str, Any]) -> None:
    """Mark a tree as complete."""
    _write(tree, drawing, count(tree))


def truth(tree: Path) -> Path:
    """Return the truth file beside a tree."""
    return tree.with_name(f"{tree.name}.truth.jsonl")


def code() -> str:
    """Return a digest of the code and the wordings that trees are made with."""
    total = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            total.update(
                path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0"
            )
    return total.hexdigest()


def _write(tree: Path, drawing: Mapping[str, Any], files: int) -> None:
    content = {"made_by": MADE_BY, "drawing": dict(drawing), "files": files}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (tree / NAME).write_text(text, encoding="utf-8")
