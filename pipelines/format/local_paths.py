"""Refuses addresses of other machines (`s3://...`) where a path of this machine is needed.

This is not part of the format. It is here because `pipelines` and `train` both need it and share
only this package. Without it, an address would become a folder named `s3:`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")


def refusal(text: str) -> str:
    """Return why a text is not a path of this machine, "" if it is one.

    Only the scheme of an address is repeated: the rest may hold a password.
    """
    if not _ADDRESS.match(text):
        return ""
    return (
        f"{text.strip().partition(':')[0]}://... is an address, and only paths of this machine are "
        "read and written: mount it, or copy it"
    )


def path(text: str) -> Path:
    """Return a path of the command line. Raises ArgumentTypeError for an address."""
    if refused := refusal(text):
        raise argparse.ArgumentTypeError(refused)
    return Path(text)
