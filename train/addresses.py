"""Paths of this machine only: an address (`s3://...`) is refused, not made a folder `s3:`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from cxr_vlp.train.errors import ConfigError

ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
REMEDY = "://... is an address, and only paths of this machine are used: mount it, or copy it"


def path(text: str) -> Path:
    """Return a path of the command line. Raises ArgumentTypeError for an address."""
    if ADDRESS.match(text):
        raise argparse.ArgumentTypeError(text.strip().partition(":")[0] + REMEDY)
    return Path(text)


def check(text: str, name: str) -> None:
    """Refuse an address as a parameter's value. Raises ConfigError."""
    if ADDRESS.match(text):
        raise ConfigError(f"{name}: {text.strip().partition(':')[0]}{REMEDY}")
