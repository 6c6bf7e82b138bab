"""Files made of private sets are readable by the user alone, as the sets themselves are.

A page shows images, checkpoints and scores are made of patients: what is made of a credentialed
collection, or of one whose ids are salted, gets the mode that pipelines gives to the set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

MANIFEST = "manifest.jsonl"
ALONE = 0o077  # umask: no rights for group and others


def narrow(sets: Sequence[Path]) -> None:
    """Let the user alone read what this process writes from now on, where a set is private."""
    if any(map(is_private, sets)):
        os.umask(ALONE)


def is_private(folder: Path) -> bool:
    """Tell whether a set is credentialed or salted; one without a manifest says neither."""
    try:
        with (folder / MANIFEST).open(encoding="utf-8") as lines:
            header = json.loads(lines.readline())
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    if not isinstance(header, dict):
        return False
    return header.get("credentialed") is True or header.get("ids") == "salted"
