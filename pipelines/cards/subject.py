"""What a card is about: one set, or several sets that are joined in one folder.

A card's folder holds a link to every tar, in the folder of its split, under the tar's own name. In
a joined folder two sets may have tars of the same name (two selections of one collection); then
the tars of all sets get the number of their set before their name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import fingerprints, schema
from cxr_vlp.pipelines.format.sample import SPLITS

JOINED = "joined"


@dataclass(frozen=True)
class Part:
    """A set of a card: its name there, its folder, its manifest and its table of samples."""

    name: str
    folder: Path
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    table: pa.Table

    @property
    def tars(self) -> list[Mapping[str, Any]]:
        """The lines of the manifest that have a tar, in their order."""
        return [line for line in self.lines if line["samples"]]


@dataclass(frozen=True)
class Shard:
    """A tar in the folder of a card: `name` is that of the link, `target` the tar in its set."""

    part: str
    split: str
    name: str
    target: Path
    samples: int
    bytes: int
    sha256: str

    @property
    def path(self) -> str:
        """Return the path of the link in the folder of the card."""
        return f"{self.split}/{self.name}"


@dataclass(frozen=True)
class Subject:
    """The sets that a card describes, in the order of their names."""

    name: str
    parts: tuple[Part, ...]
    joined: bool = False

    @property
    def title(self) -> str:
        """The names of the collections, for people."""
        return ", ".join(dict.fromkeys(str(part.header["title"]) for part in self.parts))

    @property
    def forms(self) -> list[str]:
        """The formats of the images: jpg, png or both."""
        return sorted({str(part.header["shards"]["format"]) for part in self.parts})

    @property
    def features(self) -> dict[str, Any]:
        """The columns of a sample for Hugging Face datasets."""
        found: dict[str, Any] = {}
        for form in self.forms:
            found |= schema.features(form)
        return found

    @property
    def protection(self) -> Protection:
        """Whether the files of the card are private: they are if one of the sets is."""
        headers = [part.header for part in self.parts]
        closed = next((h for h in headers if h["credentialed"]), headers[0])
        salted = any(header["ids"] == "salted" for header in headers)
        return Protection(self.name, closed["licence"], closed["credentialed"], salted)

    @property
    def digest(self) -> str:
        """The digest of the manifest, or of the manifests of all sets and their names."""
        digests = [[part.name, part.header["digest"]] for part in self.parts]
        return fingerprints.of(digests) if self.joined else str(digests[0][1])

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """All tars, ordered by split, set and name."""
        found = [
            Shard(
                part.name, line["split"], f"{self._prefix(place)}{line['name']}",
                part.folder / str(line["split"]) / str(line["name"]),
                line["samples"], line["bytes"], line["sha256"],
            )
            for place, part in enumerate(self.parts)
            for line in part.tars
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda shard: SPLITS.index(shard.split)))

    def _prefix(self, place: int) -> str:
        return f"{place:02}-" if self._repeated else ""

    @cached_property
    def _repeated(self) -> bool:
        """Whether two sets have a tar of the same name."""
        names = Counter(f"{line['split']}/{line['name']}" for p in self.parts for line in p.tars)
        return any(number > 1 for number in names.values())

    @cached_property
    def table(self) -> pa.Table:
        """The rows of all sets; `shard` is the name of the link in the folder of the card."""
        tables = []
        for place, part in enumerate(self.parts):
            names = pc.binary_join_element_wise(
                pa.scalar(self._prefix(place)), part.table.column("shard"), ""
            )
            at = part.table.schema.get_field_index("shard")
            tables.append(part.table.set_column(at, sample_table.SCHEMA.field("shard"), names))
        return sample_table.marked(pa.concat_tables(tables), self.digest)

    def of_split(self, split: str) -> list[Shard]:
        """Return the tars of a split."""
        return [shard for shard in self.shards if shard.split == split]

    @property
    def splits(self) -> list[str]:
        """The splits that have samples."""
        return [split for split in SPLITS if self.of_split(split)]

    def repeated_keys(self) -> int:
        """Return how many samples have the key of an earlier one, as in overlapping selections."""
        keys = self.table.column("key")
        return len(keys) - pc.count_distinct(keys).as_py()

    def crossing_patients(self) -> int:
        """Return how many patients of a collection are in more than one split of the card."""
        names = ["dataset", "patient"]
        splits = self.table.select([*names, "split"]).group_by([*names, "split"]).aggregate([])
        return len(splits) - len(splits.group_by(names).aggregate([]))


def read(folder: Path, state: Path, workers: int = 1) -> Part:
    """Return a set for its card, under the name of its folder.

    Raises the errors of `sample_table.build`, and DataError for a set without a sample.
    """
    table = sample_table.of_set(folder, state, workers=workers)
    header, lines = sample_table.manifest_of(folder)
    if not table.num_rows:
        raise DataError(f"{folder}: the set holds no sample, so there is nothing to describe")
    return Part(folder.resolve().name, folder, header, lines, table)


def pattern(shards: Sequence[Shard], folder: str = "") -> str:
    """Return the tars of a split as brace patterns, as bash, webdataset and open_clip expand them.

    a-00000.tar and a-00001.tar give "a-{00000..00001}.tar". Tars of several sets, or with a gap
    between their numbers, give several patterns with "::" between them. Each begins with `folder`.
    """
    runs: list[list[Shard]] = []
    for shard in shards:
        if runs and _follows(runs[-1][-1].name, shard.name):
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return "::".join(f"{folder}{_braced(run[0].name, run[-1].name)}" for run in runs)


def _follows(name: str, after: str) -> bool:
    (stem, number), (other, next_number) = _numbered(name), _numbered(after)
    same = stem == other and len(number) == len(next_number) > 0
    return same and int(next_number) == int(number) + 1


def _braced(first: str, last: str) -> str:
    (stem, number), (_, last_number) = _numbered(first), _numbered(last)
    return first if first == last else f"{stem}{{{number}..{last_number}}}.tar"


def _numbered(name: str) -> tuple[str, str]:
    """Return the parts of a tar's name before its number and the number, "" if it has none."""
    found = re.fullmatch(r"(.*?)(\d+)\.tar", name)
    return (found[1], found[2]) if found else (name, "")
