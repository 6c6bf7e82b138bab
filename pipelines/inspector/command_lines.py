"""Writes a selection as command lines for a POSIX shell."""

from __future__ import annotations

import shlex
from pathlib import Path

KEYS = "keys.txt"
SELECTED, EXPORTED = "data/selected", "data/exported"


def select(shards: Path, condition: str, *, keys: bool) -> str:
    """Return the `select` command of a selection.

    `keys` says that the selection is the file of keys: a text search is no condition of SQL.
    """
    if keys:
        return f"cxr-vlp select {_path(shards)} --keys {KEYS} --out {SELECTED}"
    return f"cxr-vlp select {_path(shards)} {_where(condition or 'true')} --out {SELECTED}"


def export(shards: Path, condition: str, *, keys: bool) -> str:
    """Return the `export` command of a selection; one by keys exports the selected set."""
    if keys:
        return f"cxr-vlp export {SELECTED} --to parquet --out {EXPORTED}"
    where = f" {_where(condition)}" if condition else ""
    return f"cxr-vlp export {_path(shards)}{where} --to parquet --out {EXPORTED}"


def _where(condition: str) -> str:
    # in one word, because a condition may begin with "-"
    return f"--where={shlex.quote(condition)}"


def _path(path: Path) -> str:
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
