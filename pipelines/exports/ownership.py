"""export.json: marks a folder as an export, and says what it holds and where that came from.

An export is replaced by a new one only if nobody added files to it: trainers write caches and
checkpoints beside their data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format.sample import SPLITS

NAME = "export.json"
MADE_BY = "cxr-vlp export"


def check(out: Path, sets: Sequence[Path]) -> None:
    """Refuse an output folder in a set, and one that holds anything but an export as it was made.

    Raises ConfigError.
    """
    real = out.resolve()
    for folder in (each.resolve() for each in sets):
        if real == folder or folder in real.parents or real in folder.parents:
            raise ConfigError(
                f"one of {out} and the set {folder} lies inside the other: choose another --out"
            )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: choose another --out")
    path = out / NAME
    if not path.is_file():
        return  # publishing refuses a folder that is not empty
    held = jsonl.glimpse(path)
    if not isinstance(held, dict) or held.get("made_by") != MADE_BY:
        raise ConfigError(f"{path} is not of {MADE_BY}: choose another --out")
    if held.get("files") != _files(out):
        raise ConfigError(
            f"{out} has files that {MADE_BY} did not write, or lacks some: remove it, or choose "
            "another --out"
        )


def write(folder: Path, name: str, request: Request, result: Result) -> None:
    """Write export.json; the same export gives the same bytes."""
    options = {k: v for k, v in request.options.items() if k != "workers"}
    content: dict[str, Any] = {
        "made_by": MADE_BY,
        "form": name,
        "sources": [_source(each.header) for each in request.chosen],
        "options": options,
        "chosen": request.rows,
        "written": {split: result.written[split] for split in SPLITS if result.written[split]},
        "left_out": dict(sorted(result.left_out.items())),
        "files": _files(folder),
    }
    jsonl.write_json(folder / NAME, content)


def _source(header: Any) -> dict[str, Any]:
    names = ("source", "title", "licence", "credentialed", "ids", "format", "digest")
    return {name: header[name] for name in names}


def _files(folder: Path) -> dict[str, Any]:
    """Return the number of files of an export and a digest of their names, without export.json."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    names = [name for name in names if name != NAME]
    digest = hashlib.sha256("".join(f"{name}\0" for name in names).encode()).hexdigest()
    return {"number": len(names), "names_sha256": digest}
