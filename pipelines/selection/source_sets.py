"""Reads the sets that samples are selected from, and refuses those that are damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.validate import manifest as declared
from cxr_vlp.pipelines.validate.manifest import Declared

SET = "__set"  # column of the united table: the number of a row's set
NEW = "__split"  # column of the united table: the split of a row in the new set


@dataclass(frozen=True)
class SourceSet:
    """A set to select from: its name in the output, and its checked manifest."""

    name: str
    declared: Declared

    @property
    def folder(self) -> Path:
        """The folder of the set."""
        return self.declared.folder

    @property
    def header(self) -> Mapping[str, Any]:
        """The header of the set's manifest."""
        return self.declared.header

    @property
    def digest(self) -> str:
        """The digest of the set."""
        return str(self.header["digest"])


def read(path: Path) -> list[SourceSet]:
    """Return the sets in a folder: the folder itself, or those right below it, by name.

    Compared are the manifest's digest (over all its lines and the rejects) and the size of every
    tar. Raises ConfigError if there is no set, DataError for a set that is damaged.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder")
    found = [SourceSet(_name(folder), _declared(folder)) for folder in manifest.sets(path)]
    if not found:
        raise ConfigError(
            f"no {manifest.NAME} in {path} or in the folders right below it: give a set that "
            "cxr-vlp shards or cxr-vlp select wrote"
        )
    return found


def _name(folder: Path) -> str:
    return folder.absolute().name


def _declared(folder: Path) -> Declared:
    again = "copy the set again, or build it again"
    try:
        found = declared.read(folder)
    except FormatError as error:
        raise DataError(f"{folder}: {error.code} {error}; {again}") from None
    rejects = folder / manifest.REJECTS
    if not rejects.is_file():
        raise DataError(f"{folder}: it has no {manifest.REJECTS}; {again}")
    if manifest.digest(found.header, found.lines, rejects) != found.header["digest"]:
        raise DataError(f"{folder}: manifest.digest: it was changed afterwards; {again}")
    for line in found.tars:
        path = found.path(line)
        if not path.is_file():
            raise DataError(f"{path} is missing; {again}")
        if path.stat().st_size != line["bytes"]:
            raise DataError(f"{path} is cut off, or was changed; {again}")
    return found


def protection(sets: Sequence[SourceSet]) -> Protection:
    """Return the protection that the strictest of the sets needs."""
    names = ", ".join(sorted({str(each.header["source"]) for each in sets}))
    closed = [str(each.header["licence"]) for each in sets if each.header["credentialed"]]
    return Protection(
        names,
        ", ".join(sorted(set(closed))),
        credentialed=bool(closed),
        salted=any(each.header["ids"] == "salted" for each in sets),
    )


def united(sets: Sequence[SourceSet], state: Path, *, workers: int) -> pa.Table:
    """Return the samples of all sets as one table, with the columns SET and NEW.

    Raises ConfigError if a sample is in two of the sets, and the errors of `sample_table.of_set`.
    """
    tables = []
    for number, each in enumerate(sets):
        table = sample_table.of_set(each.folder, state, workers=workers).replace_schema_metadata()
        own = pa.array([number] * table.num_rows, pa.int32())
        tables.append(table.append_column(SET, own).append_column(NEW, table.column("split")))
    table = pa.concat_tables(tables)
    if len(sets) > 1:
        repeated = sum(count - 1 for count in Counter(table.column("key").to_pylist()).values())
        if repeated:
            raise ConfigError(
                f"{repeated:,} samples are in two of the sets: give one of these sets as PATH"
            )
    return table
