"""Checks the files of a set beside its tars: manifest, sizes, rejects, features.

The types of all values are checked before a value is used: `verify` opens the files that the
manifest names, and a hostile manifest may name any file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import config, parts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, fingerprints, kinds, manifest, schema, versions
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.remote import sets as remote_sets
from cxr_vlp.pipelines.format.remote.tars import RemoteTar
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.validate.sample import Expected

Breach = tuple[str, str]  # (code, where): never a key, an id, a path below the set, or text

KEY_HASH = re.compile(r"[0-9a-f]{16}")
SOURCE = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True)
class Declared:
    """A manifest whose values have the right types."""

    folder: Path
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    shards: config.Shards
    remote: Mapping[str, RemoteTar] | None = None  # of a set on an object store: its tars

    @property
    def tars(self) -> list[Mapping[str, Any]]:
        """The lines of parts that have a tar."""
        return [line for line in self.lines if line["samples"]]

    @property
    def same_code(self) -> bool:
        """Whether this version of the code made the images: their fingerprints can be checked."""
        known = self.header["toolchain"].keys()
        same = self.header["pixels_epoch"] == versions.PIXELS
        return same and fingerprints.pixel_toolchain().keys() <= known

    def path(self, line: Mapping[str, Any]) -> Path:
        """Return the path of a line's tar."""
        return self.folder / str(line["split"]) / str(line["name"])

    def tar(self, line: Mapping[str, Any]) -> Path | RemoteTar | None:
        """Return a line's tar, None if it is not there."""
        if self.remote is not None:
            return self.remote.get(f"{line['split']}/{line['name']}")
        path = self.path(line)
        return path if path.is_file() else None

    def expected(self, line: Mapping[str, Any]) -> Expected:
        """Return the values that every sample of a line's tar must have."""
        libraries = self.header["toolchain"]
        return Expected(
            source=self.header["source"],
            split=line["split"],
            part=line["name"].removesuffix(".tar"),
            counts=self.header["parts"],
            recipe=self.shards.recipe,
            form=self.shards.format,
            largest=self.shards.max_megapixels * 1_000_000,
            image_parameters=self.shards.image_parameters(),
            pixels_epoch=self.header["pixels_epoch"],
            toolchain={name: libraries.get(name) for name in fingerprints.pixel_toolchain()},
            salted=self.header["ids"] == "salted",
            same_code=self.same_code,
            texts_made_by=self._texts_made_by(),
        )

    def _texts_made_by(self) -> list[Any] | None:
        """Return the parameters and versions that decided the texts; None if it is unknown."""
        header = self.header
        # a user's rule changes the texts of one study only, and the manifest does not have it
        if header["exceptions"]:
            return None
        made_by = [header["texts"], header["texts_epoch"], header["wording"]]
        libraries = header["toolchain"]
        if "spacy" in libraries and "model" not in libraries:  # a set of version 0.3
            made_by.append({"spacy": libraries["spacy"]})
        return made_by


def read(folder: Path) -> Declared:
    """Read a set's manifest. Raises FormatError, or OSError if the disk fails."""
    header, lines = manifest.read(folder)
    if type(header.get("format")) is int and header["format"] != versions.FORMAT:
        raise FormatError("manifest.format", versions.refusal(header["format"]))
    if not manifest.typed(header, manifest.HEADER):
        raise FormatError("manifest.broken", "a value is absent or has the wrong type")
    if not all(manifest.typed(line, manifest.LINE) for line in lines):
        raise FormatError("manifest.broken", "a value is absent or has the wrong type")
    if header["ids"] not in ("source", "salted"):
        raise FormatError("manifest.broken", "a value is absent or has the wrong type")
    counts = header["parts"]
    if not SOURCE.fullmatch(header["source"]):  # it becomes part of a path
        raise FormatError("manifest.parts", "")
    if set(counts) != set(SPLITS) or not all(type(n) is int and n > 0 for n in counts.values()):
        raise FormatError("manifest.parts", "")
    # the number first: their names are not made up for a false and huge number of parts
    if len(lines) != sum(counts.values()) or [line["name"] for line in lines] != [
        f"{name}.tar" for name in parts.names(header["source"], counts)
    ]:
        raise FormatError("manifest.parts", "")
    if any(line["split"] != _split(line["name"]) for line in lines):
        raise FormatError("manifest.parts", "")
    try:
        shards = config.build(config.Shards, header["shards"], "shards")
    except ConfigError:
        raise FormatError("manifest.parameters", "") from None
    return Declared(folder, header, lines, shards, remote_sets.tars(folder))


def breaches(declared: Declared) -> Iterator[Breach]:
    """Yield the breaches of the files beside the tars, and files that do not belong to the set."""
    header, lines, folder = declared.header, declared.lines, declared.folder
    rejects = folder / manifest.REJECTS
    if not rejects.is_file() or manifest.digest(header, lines, rejects) != header["digest"]:
        yield "manifest.digest", manifest.NAME
    yield from ((code, manifest.NAME) for code in _counts(header, lines))
    yield from ((code, manifest.REJECTS) for code in _rejects(rejects, header))
    if not _same(folder / manifest.FEATURES, schema.features(declared.shards.format)):
        yield "features.differ", manifest.FEATURES
    beside = {manifest.NAME, manifest.REJECTS, manifest.FEATURES, *manifest.CARD}
    yield from _unlisted(folder, "", {*SPLITS, *beside})
    for split in SPLITS:
        listed = {x["name"]: x["samples"] for x in declared.tars if x["split"] == split}
        there = {n.partition("/")[2] for n in declared.remote or () if n.startswith(f"{split}/")}
        yield from _split_files(folder / split, listed, there)


def _same(path: Path, value: Any) -> bool:
    """Return whether a JSON file holds a value, in the bytes that this version writes."""
    return path.is_file() and path.read_bytes() == jsonl.json_bytes(value)


def _split(name: str) -> str:
    return parts.split_of(name.removesuffix(".tar"))


def _counts(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    dropped, lost = header["dropped"], Counter[str]()
    counts = [dropped, *(line[name] for line in lines for name in ("rejects", "notes"))]
    if not all(type(number) is int for row in counts for number in row.values()):
        yield "manifest.broken"
        return
    for line in lines:
        lost.update(line["rejects"])
    written = sum(line["samples"] for line in lines)
    if header["written"] != written or header["listed"] != written + sum(dropped.values()):
        yield "flow.unbalanced"
    if header["studies"] != sum(line["studies"] for line in lines):
        yield "flow.studies"
    # `select` cuts new parts, and it is not known to which of them a lost image would belong
    of_parts = {} if header.get("selection") else dropped
    of_shards = {key: n for key, n in of_parts.items() if key.startswith("shards ")}
    if of_shards != {f"shards {code}": number for code, number in lost.items()}:
        yield "flow.rejects"
    noted = Counter[str]()
    for line in lines:
        noted.update(line["notes"])
    if any(header["notes"].get(code, 0) < number for code, number in noted.items()):
        yield "flow.notes"
    if any((line["bytes"], line["sha256"]) != (0, "") for line in lines if not line["samples"]):
        yield "flow.empty"


def _rejects(path: Path, header: Mapping[str, Any]) -> Iterator[str]:
    if not path.is_file():
        yield "rejects.missing"
        return
    try:
        rows = list(jsonl.read_records(path))
        if not all(kinds.holds(manifest.REJECT, row) for row in rows):
            raise ValueError  # noqa: TRY301 - the same breach as for what is no JSON
        if accounting.dropped(rows) != header["dropped"]:
            yield "rejects.differ"
    except (ValueError, RecursionError):
        yield "rejects.broken"
        return
    if not all(KEY_HASH.fullmatch(row["key_hash"]) for row in rows):
        yield "rejects.raw_key"


def _unlisted(
    folder: Path, name: str, known: Set[str], there: Set[str] = frozenset()
) -> Iterator[Breach]:
    extra = ({p.name for p in folder.glob("[!.]*")} | there) - known
    if extra:  # counted, not named: a name may hold anything
        yield "file.unlisted", f"{name}/: {len(extra)} that the manifest does not name"


def _split_files(folder: Path, listed: Mapping[str, int], there: Set[str]) -> Iterator[Breach]:
    """Yield the breaches of a split's folder; `there` are its tars on an object store."""
    missing = [n for n in sorted(listed) if n not in there and not (folder / n).is_file()]
    yield from (("shard.missing", name) for name in missing)
    yield from _unlisted(folder, folder.name, {*listed, manifest.SIZES}, there)
    try:
        sizes = manifest.sizes(folder)
    except (FormatError, FileNotFoundError):
        sizes = None
    if sizes != listed:
        yield "sizes.differ", f"{folder.name}/{manifest.SIZES}"
