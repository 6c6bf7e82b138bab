"""What a set says of itself: manifest, sizes and rejects in, where they contradict each other out.

Nothing in the manifest is believed before its types were looked at: verify opens the files it
names, and a name may have been made up.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import config, parts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, fingerprints, schema
from cxr_vlp.pipelines.format import versions as epochs
from cxr_vlp.pipelines.records import SPLITS
from cxr_vlp.pipelines.stages import manifest_writer
from cxr_vlp.pipelines.validate.sample import Expected

Breach = tuple[str, str]  # (code, where): never a key, an id, a path below the set, or text

HEADER = {
    "credentialed": bool, "digest": str, "dropped": dict, "exceptions": int, "format": int,
    "ids": str, "licence": str, "listed": int, "notes": dict, "parts": dict, "pixels_epoch": int,
    "salt_sha256": str, "shards": dict, "source": str, "studies": int, "texts": dict,
    "texts_epoch": int, "title": str, "toolchain": dict, "wording": str, "written": int,
}  # fmt: skip
LINE = {
    "bytes": int, "fingerprint": str, "name": str, "notes": dict, "patients": int, "rejects": dict,
    "samples": int, "sha256": str, "split": str, "studies": int,
}  # fmt: skip
REJECT = {"code": str, "images": int, "key_hash": str, "step": str}
EARLIER = "made by version 0.2 or earlier: build the set again"
LATER = "made by a later version than this one: verify it with that"
KEY_HASH = re.compile(r"[0-9a-f]{16}")
SOURCE = re.compile(r"[a-z0-9_-]+")


class BrokenError(Exception):
    """The manifest cannot be read as one; the arguments are the code of the breach and a remedy."""

    def __init__(self, code: str, remedy: str = "") -> None:
        super().__init__(code, remedy)
        self.code, self.remedy = code, remedy

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True)
class Declared:
    """A manifest whose types are right."""

    folder: Path
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    shards: config.Shards

    @property
    def tars(self) -> list[Mapping[str, Any]]:
        """The lines of parts that have a tar."""
        return [line for line in self.lines if line["samples"]]

    @property
    def same_code(self) -> bool:
        """Whether code like ours made the pictures, so that their fingerprints can be checked."""
        known = self.header["toolchain"].keys()
        same = self.header["pixels_epoch"] == epochs.PIXELS
        return same and fingerprints.pixel_toolchain().keys() <= known

    def path(self, line: Mapping[str, Any]) -> Path:
        """Return where a line's tar has to be."""
        return self.folder / str(line["split"]) / str(line["name"])

    def expected(self, line: Mapping[str, Any]) -> Expected:
        """Return what every sample of a line's tar has to agree with."""
        versions = self.header["toolchain"]
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
            toolchain={name: versions.get(name) for name in fingerprints.pixel_toolchain()},
            salted=self.header["ids"] == "salted",
            same_code=self.same_code,
            texts_made_by=self._texts_made_by(),
        )

    def _texts_made_by(self) -> list[Any] | None:
        """Return what decided the texts beside report and labels; None where it is not known."""
        header = self.header
        # a rule of the user's decides the texts of its study alone, and is not in the manifest
        if header["exceptions"]:
            return None
        return [header["texts"], header["texts_epoch"], header["wording"]]


def read(folder: Path) -> Declared:
    """Read a set's manifest. Raises BrokenError, or OSError where the disk does not give it."""
    try:
        header, lines = manifest_writer.read(folder)
    except (ValueError, StopIteration, RecursionError):
        raise BrokenError("manifest.broken") from None
    if _typed(header, {"format": int}) and header["format"] != epochs.FORMAT:
        older = header["format"] < epochs.FORMAT
        raise BrokenError("manifest.format", EARLIER if older else LATER)
    if not _typed(header, HEADER) or not all(_typed(line, LINE) for line in lines):
        raise BrokenError("manifest.broken")
    if header["ids"] not in ("source", "salted"):
        raise BrokenError("manifest.broken")
    counts = header["parts"]
    if not SOURCE.fullmatch(header["source"]):  # it becomes part of a path
        raise BrokenError("manifest.parts")
    if set(counts) != set(SPLITS) or not all(type(n) is int and n > 0 for n in counts.values()):
        raise BrokenError("manifest.parts")
    # the number first: a made-up count of parts must not make us write their names
    if len(lines) != sum(counts.values()) or [line["name"] for line in lines] != [
        f"{name}.tar" for name in parts.names(header["source"], counts)
    ]:
        raise BrokenError("manifest.parts")
    if any(line["split"] != _split(line["name"]) for line in lines):
        raise BrokenError("manifest.parts")
    try:
        shards = config.build(config.Shards, header["shards"], "shards")
    except ConfigError:
        raise BrokenError("manifest.parameters") from None
    return Declared(folder, header, lines, shards)


def breaches(declared: Declared) -> Iterator[Breach]:
    """Yield what contradicts itself in the files beside the tars, and which files are too many."""
    header, lines, folder = declared.header, declared.lines, declared.folder
    rejects = folder / manifest_writer.REJECTS
    if not rejects.is_file() or manifest_writer.digest(header, lines, rejects) != header["digest"]:
        yield "manifest.digest", manifest_writer.NAME
    yield from ((code, manifest_writer.NAME) for code in _counts(header, lines))
    yield from ((code, manifest_writer.REJECTS) for code in _rejects(rejects, header))
    if not _same(folder / schema.FEATURES, schema.features(declared.shards.format)):
        yield "features.differ", schema.FEATURES
    beside = {manifest_writer.NAME, manifest_writer.REJECTS, schema.FEATURES}
    yield from _unlisted(folder, "", {*SPLITS, *beside})
    for split in SPLITS:
        listed = {x["name"]: x["samples"] for x in declared.tars if x["split"] == split}
        yield from _split_files(folder / split, listed)


def _same(path: Path, value: Any) -> bool:
    """Tell whether a JSON file holds a value, in the bytes that we would write."""
    return path.is_file() and path.read_bytes() == jsonl.json_bytes(value)


def _typed(row: Any, kinds: Mapping[str, type]) -> bool:
    """Tell whether a row is an object with these fields; True is no number here."""
    return isinstance(row, dict) and all(type(row.get(name)) is kinds[name] for name in kinds)


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
    of_shards = {key: n for key, n in dropped.items() if key.startswith("shards ")}
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
        if not all(_typed(row, REJECT) and row.keys() == REJECT.keys() for row in rows):
            raise ValueError  # noqa: TRY301 - the same answer as for what is no JSON
        if accounting.dropped(rows) != header["dropped"]:
            yield "rejects.differ"
    except (ValueError, RecursionError):
        yield "rejects.broken"
        return
    if not all(KEY_HASH.fullmatch(row["key_hash"]) for row in rows):
        yield "rejects.raw_key"


def _unlisted(folder: Path, name: str, known: Set[str]) -> Iterator[Breach]:
    extra = {p.name for p in folder.glob("[!.]*")} - known
    if extra:  # counted, not named: a name may hold anything
        yield "file.unlisted", f"{name}/: {len(extra)} that the manifest does not name"


def _split_files(folder: Path, listed: Mapping[str, int]) -> Iterator[Breach]:
    missing = [name for name in sorted(listed) if not (folder / name).is_file()]
    yield from (("shard.missing", name) for name in missing)
    yield from _unlisted(folder, folder.name, {*listed, manifest_writer.SIZES})
    try:
        sizes = json.loads((folder / manifest_writer.SIZES).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, FileNotFoundError):
        sizes = None
    if sizes != listed:
        yield "sizes.differ", f"{folder.name}/{manifest_writer.SIZES}"
