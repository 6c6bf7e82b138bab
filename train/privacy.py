"""Makes files that are derived from private sets readable by the user alone.

A page shows images; checkpoints and scores come from patients. Sets of a credentialed collection,
and sets with salted ids, are private: `pipelines` gave them this file mode too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError

ALONE = 0o077  # umask: no rights for group and others


def narrow(sets: Sequence[Path]) -> None:
    """Make what this process writes from now on readable by the user alone, if a set is private."""
    if any(map(is_private, sets)):
        os.umask(ALONE)


def is_private(folder: Path) -> bool:
    """Return whether a set is credentialed or salted; without a manifest it is neither."""
    try:
        header = manifest.header(folder)
    except (FileNotFoundError, FormatError):
        return False
    return header.get("credentialed") is True or header.get("ids") == "salted"
