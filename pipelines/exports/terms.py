"""The terms of an export: those of the collections that its samples came from (LICENCE.txt)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.exports.base import Chosen
from cxr_vlp.pipelines.exports.choice import Found
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.files.privacy import Protection

NAME = "LICENCE.txt"
_CREDENTIALED = (
    "Only people who signed the agreement of this collection may read these files. Do not pass "
    "them on, do not push them to a hub, and do not send them to services of others."
)
_SALTED = (
    "The ids are salted hashes: the files are readable by their user only, because the texts and "
    "images are those of patients. Ask those who are responsible for the data before you share it."
)


def protection(sets: Sequence[Found]) -> Protection:
    """Return the protection of files with samples of several sets: that of the strictest set."""
    headers = [each.header for each in sets]
    strict = [h for h in headers if h["credentialed"] or h["ids"] == "salted"] or headers
    return Protection(
        source=" and ".join(header["source"] for header in strict),
        licence="; ".join(dict.fromkeys(header["licence"] for header in strict)),
        credentialed=any(header["credentialed"] for header in strict),
        salted=any(header["ids"] == "salted" for header in strict),
    )


def write(folder: Path, chosen: Sequence[Chosen]) -> None:
    """Write the terms of the collections of an export."""
    jsonl.write_lines(folder / NAME, _lines(chosen))


def _lines(chosen: Sequence[Chosen]) -> Iterator[str]:
    yield "This folder holds samples of these collections, each under its own terms."
    for each in chosen:
        yield from ("", *of(each.header))


def of(header: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines on one collection: its title, its licence, and who may read it."""
    yield f"{header['title']} ({header['source']})"
    yield f"  licence: {header['licence']}"
    for layer in header.get("layers", ()):
        yield f"  with the annotations of {layer['title']}, licence: {layer['licence']}"
    if header["credentialed"]:
        yield f"  {_CREDENTIALED}"
    if header["ids"] == "salted":
        yield f"  {_SALTED}"
