"""Helpers for the tests of the reader `table`: a reader from options, and small trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joining import Joined, join, lay

from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.sources.base import Source


def reader(**options: Any) -> Source:
    """Return the reader of a collection `clinic`, guesses off unless they are asked for."""
    return sources.reader("clinic", {"guess": False, **options}, preset="table")


def scanned(root: Path, tree: dict[str, str | bytes], **options: Any) -> Joined:
    """Lay files out and scan them; every listed image must be kept or lost."""
    joined = join(reader(**options), lay(root, tree))
    assert joined.balanced()
    return joined


def csv(*rows: str) -> str:
    """Return the lines of a table."""
    return "\n".join(rows) + "\n"


def lines(*rows: dict[str, Any]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def images(*paths: str) -> dict[str, str | bytes]:
    """Return files that stand for images, each with other bytes."""
    return {path: path.encode() for path in paths}
