"""Refuses addresses of other machines (`s3://...`) where a path of this machine is needed.

This is not part of the format. It is here because `pipelines` and `train` both need it and share
only this package. Without it, an address would become a folder named `s3:`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")

# of a set that was published in a store (format/manifest.folder_name)
_COPY = (
    " (aws s3 sync s3://BUCKET/SET/FOLDER DIR, where FOLDER has the first 16 digits of `digest` in "
    "the first line of SET/manifest.jsonl; or dvc pull)"
)


def refusal(text: str) -> str:
    """Return why a text is not a path of this machine, "" if it is one.

    Only the scheme of an address is repeated: the rest may hold a password.
    """
    if not _ADDRESS.match(text):
        return ""
    scheme = text.strip().partition(":")[0]
    copy = _COPY if scheme.lower() == "s3" else ""
    return (
        f"{scheme}://... is an address, and a path of this machine is needed here: mount it, or "
        f"copy it{copy}"
    )


def path(text: str) -> Path:
    """Return a path of the command line. Raises ArgumentTypeError for an address."""
    if refused := refusal(text):
        raise argparse.ArgumentTypeError(refused)
    return Path(text)
