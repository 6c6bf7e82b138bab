"""Writes reports as other groups keep them: MIMIC's sectioned table, and R2Gen's annotation.json.

The sections are cut as the script of MIMIC-CXR's authors cuts them: a heading stands in capitals
behind a line break and one blank. A report without findings and impression is its last paragraph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.writing import archives

SECTIONED = ("study", "impression", "findings", "last_paragraph", "comparison")
_HEADING = re.compile(r"\n ([A-Z][A-Z ()/,-]+):\s")
_NAMES = {"FINDING": "findings", "FINDINGS": "findings", "IMPRESSION": "impression",
          "CONCLUSION": "impression", "COMPARISON": "comparison", "COMPARISONS": "comparison",
          "PFI": "impression", "FINDINGS AND IMPRESSION": "impression"}  # fmt: skip
R2GEN_SPLITS = {"train": "train", "validate": "val", "test": "test"}


def sections_of(text: str) -> dict[str, str]:
    """Return the columns of the sectioned table for a report; those that are empty are left out."""
    parts = _HEADING.split(text)
    found: dict[str, str] = {}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        name = _NAMES.get(heading.strip())
        if name and body.strip():
            found[name] = body.strip()
    if not {"findings", "impression"} & set(found):
        last = parts[-1].strip().split("\n \n")[-1].strip()
        found |= {"last_paragraph": last} if last else {}
    return found


def write_sectioned(path: Path, texts: Mapping[str, bytes], left_out: Iterable[str] = ()) -> None:
    """Write the table from the texts of report files, which are named s<study>.txt.

    The studies that are `left_out` have no row: the script leaves out those with a rule of their
    own.
    """
    studies = {Path(name).stem: text.decode() for name, text in texts.items()}
    kept = sorted(set(studies) - set(left_out))
    rows = ({"study": study} | sections_of(studies[study]) for study in kept)
    archives.write_csv(path, SECTIONED, rows)


def write_annotation(path: Path, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Write annotation.json from (split, entry); an entry repeats its split."""
    document: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for split, entry in entries:
        document[split].append(entry | {"split": split})
    archives.write_bytes(path, json.dumps(document).encode())
