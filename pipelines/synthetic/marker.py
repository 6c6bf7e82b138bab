"""A made-up tree and the marker in it: only what bears it is ever drawn again or removed.

TREE/.lookalike.json is written before anything else of a tree and again when it is whole. A tree
without it may be somebody's download, whatever its name and place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = ".lookalike.json"
_MADE_BY = "cxr-vlp synthetic"


class ForeignError(ValueError):
    """A folder holds what this command did not make; the message names it and the way out."""


def read(tree: Path) -> dict[str, Any] | None:
    """Return a tree's marker; None where it has none, or one that we did not write."""
    try:
        found = json.loads((tree / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(found, dict) and found.get("made_by") == _MADE_BY
    return found if ours else None


def is_drawn(tree: Path, drawing: Mapping[str, Any]) -> bool:
    """Tell whether a tree is there as a whole, drawn with the same settings by the same code."""
    found = read(tree)
    return found is not None and bool(found["files"]) and found["drawing"] == dict(drawing)


def made_up(tree: Path) -> bool:
    """Tell whether all of a tree was made up here: no image, report or file is anybody's own."""
    found = read(tree)
    if found is None or not found["files"] or found["drawing"].get("own", True):
        return False
    return _count(tree) == found["files"]


def refuse_foreign(tree: Path) -> bool:
    """Return whether a tree of ours is there.

    Raises ForeignError where the place holds anything else: a folder without the marker, a link,
    or more files than were drawn.
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
    if found["files"] and _count(tree) > found["files"]:
        raise ForeignError(f"{tree} holds files that were put there since it was drawn: move them")
    return True


def clear(tree: Path) -> bool:
    """Remove a tree that we drew, and its truth file; return whether there was one.

    Raises ForeignError, and removes nothing, where there is anything else.
    """
    if not refuse_foreign(tree):
        return False
    # the marker goes last: what is left by a kill is still known as ours
    for path in tree.iterdir():
        if path.name != NAME:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(tree)
    truth(tree).unlink(missing_ok=True)
    return True


def begin(tree: Path, drawing: Mapping[str, Any]) -> None:
    """Mark a tree that is going to be drawn."""
    tree.mkdir(parents=True, exist_ok=True)
    _write(tree, drawing, 0)


def finish(tree: Path, drawing: Mapping[str, Any]) -> None:
    """Mark a tree as whole."""
    _write(tree, drawing, _count(tree))


def truth(tree: Path) -> Path:
    """Return the file beside a tree that tells what was put into it."""
    return tree.with_name(f"{tree.name}.truth.jsonl")


def code() -> str:
    """Return a digest of the code and the words that trees are drawn with."""
    total = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            total.update(
                path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0"
            )
    return total.hexdigest()


def _count(tree: Path) -> int:
    return sum(path.is_file() or path.is_symlink() for path in tree.rglob("*"))


def _write(tree: Path, drawing: Mapping[str, Any], files: int) -> None:
    content = {"made_by": _MADE_BY, "drawing": dict(drawing), "files": files}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (tree / NAME).write_text(text, encoding="utf-8")
