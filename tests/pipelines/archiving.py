"""Helpers for the tests of archives: pack trees into zips and tars, and spoil them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def files_of(tree: Path) -> dict[str, bytes]:
    """Return the files of a tree by relative path."""
    found = (path for path in sorted(tree.rglob("*")) if path.is_file())
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in found}


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write files into a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write files into a plain tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pieces(files: Mapping[str, bytes], number: int) -> list[dict[str, bytes]]:
    """Divide files into so many groups of neighbours."""
    names = list(files)
    size = -(-len(names) // number)
    return [{n: files[n] for n in names[i : i + size]} for i in range(0, len(names), size)]


def split_off(files: Mapping[str, bytes], suffixes: Iterable[str]) -> tuple[dict, dict]:
    """Return (files with one of the suffixes, all others)."""
    ends = tuple(suffixes)
    chosen = {name: data for name, data in files.items() if name.endswith(ends)}
    return chosen, {name: data for name, data in files.items() if name not in chosen}
