"""Decides where a selection may be written, and what of an earlier one it may replace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.selection.source_sets import SourceSet

MARK = "selection.json"  # in a folder of selected sets: names them, and marks the folder as ours


def check(path: Path, out: Path, sets: Sequence[SourceSet], *, single: bool) -> None:
    """Refuse an output that would damage a source, or other files. Raises ConfigError.

    `path` is the PATH of the command, `single` whether it is a set and not a folder of sets.
    """
    place = out.resolve()
    for source in {path.resolve(), *(each.folder.resolve() for each in sets)}:
        if place == source or source in place.parents:
            raise ConfigError(f"{out} is the source, or inside it: choose another --out")
        if place in source.parents:
            raise ConfigError(f"{out} holds the source: choose another --out")
    if not place.exists():
        return
    if not place.is_dir():
        raise ConfigError(f"{out} is a file: choose another --out")
    if not any(place.iterdir()):
        return
    known = set(_of_set(place) if single else _of_folder(place))
    found = {
        file.relative_to(place).as_posix()
        for file in place.rglob("*")
        if file.is_symlink() or not file.is_dir()
    }
    if not known:
        what = "no selection" if single else "no folder of selections"
        raise ConfigError(f"{out} is not empty and {what} of an earlier run: choose another --out")
    if more := len(found - known):
        raise ConfigError(
            f"{out} holds {more:,} files that select did not write, and would be replaced: move "
            "them, or choose another --out"
        )


def _of_set(folder: Path) -> Iterator[str]:
    """Yield the files of a set that `select` wrote; none if it did not write it."""
    try:
        header, lines = manifest.read(folder)
    except (FormatError, OSError):
        return
    if not manifest.typed(header.get("selection"), manifest.SELECTION):
        return
    if all(manifest.typed(line, manifest.LINE) for line in lines):
        yield from manifest.files(lines)
        yield from manifest.CARD


def _of_folder(folder: Path) -> Iterator[str]:
    """Yield the files of a folder of selected sets; none if it has no mark."""
    mark = jsonl.glimpse(folder / MARK)
    names = mark.get("sets") if isinstance(mark, dict) else None
    if not isinstance(names, dict):
        return
    yield MARK
    for name in names:
        if (folder / name).parent == folder:
            yield from (f"{name}/{file}" for file in _of_set(folder / name))
