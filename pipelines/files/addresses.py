"""Refuse addresses such as s3://... where a path is expected.

Without this check an address would be taken for the name of a folder, and the folder created.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError

ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
REMEDY = "is an address, and only paths of this machine are read and written: mount it, or copy it"


def path(text: str) -> Path:
    """Return a path given on the command line. Raises ArgumentTypeError for an address."""
    if ADDRESS.match(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} {REMEDY}")
    return Path(text)


def check(text: str | Path, name: str) -> None:
    """Refuse an address as the value of a parameter. Raises ConfigError."""
    if ADDRESS.match(str(text)):
        raise ConfigError(f"{name}: {_shown(str(text))} {REMEDY}")


def _shown(text: str) -> str:
    """Return the scheme alone: the rest may contain a password."""

    return text.strip().partition(":")[0] + "://..."
