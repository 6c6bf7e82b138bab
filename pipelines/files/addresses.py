"""Paths of this machine only: an address of a store elsewhere is refused, not made a folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError

ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
REMEDY = "is an address, and only paths of this machine are read and written: mount it, or copy it"


def path(text: str) -> Path:
    """Return a path of the command line. Raises ArgumentTypeError for an address (`s3://...`)."""
    if ADDRESS.match(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} {REMEDY}")
    return Path(text)


def check(text: str | Path, name: str) -> None:
    """Refuse an address as the value of a parameter. Raises ConfigError."""
    if ADDRESS.match(str(text)):
        raise ConfigError(f"{name}: {_shown(str(text))} {REMEDY}")


def _shown(text: str) -> str:
    """Return the scheme alone: the rest may hold a password."""
    return text.strip().partition(":")[0] + "://..."
