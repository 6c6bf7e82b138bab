"""Stores cache entries: the result of a stage for a part, under the fingerprint of its inputs.

An entry holds the digests and size of the file that was made, and the return value of the work, so
a file that still exists somewhere is not made again. The digests of the samples are in a second
file beside it, because a run that changes nothing does not need them. Entries are in the state
folder (.cxr/), which is never tracked: without them everything is made again, with the same bytes.
Each entry has a digest of its own (row_digest.py); an entry that does not match it is removed, and
its part is made again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.cache.identity import FOLDER, Identity
from cxr_vlp.pipelines.storage.place import is_remote, place

ENTRIES_KEPT = 16  # per part; returning to an older state than that builds the part again
INPUTS_KEPT = 4  # per entry: digests of inputs that gave this fingerprint, the newest first
SEEN_KEPT = 6  # per entry: identities of files that have its bytes, the newest first
UNKNOWN = -1


@dataclass(frozen=True)
class SampleDigests:
    """The digests that decide one sample. An entry keeps the first 16 hex digits of each."""

    key: str
    source: str  # of the bytes of the image file
    image: str  # fingerprint of the encoded image
    sample: str  # fingerprint of all three members
    written: bool = True  # False: rejected

    def shortened(self, *, written: bool) -> SampleDigests:
        """Return the digests as an entry keeps them: 16 hex digits show what changed."""
        return SampleDigests(self.key, self.source[:16], self.image[:16], self.sample[:16], written)


@dataclass(frozen=True)
class Entry:
    """One file that a stage made of one part; `sha256` is "" if the part had nothing to write."""

    part: str
    fingerprint: str
    file: str  # relative to the output folder
    sha256: str
    md5: str  # under which DVC's cache stores the file
    bytes: int
    lasting: bool  # False: a failure may not occur again; only the samples are reused
    result: Mapping[str, Any]  # the return value of the work
    seconds: float = 0.0  # that the work took, for estimates
    decoded: int = 0  # images
    listed: int = UNKNOWN  # studies or images of the part; an entry of 0.8 may not know it
    written: int = UNKNOWN
    inputs: tuple[str, ...] = ()  # digests of input files and parameters with this fingerprint
    images: str = ""  # the digest of what decides pixels, beside the image files; "": unknown
    seen: tuple[Identity, ...] = ()  # of files whose bytes were hashed, or written by this program

    def with_seen(self, *found: Identity | None) -> Entry:
        """Return the entry with identities of files that have its bytes."""
        return dataclasses.replace(self, seen=_first(found, self.seen, SEEN_KEPT))

    def with_inputs(self, digest: str) -> Entry:
        """Return the entry with a digest of inputs that give its fingerprint."""
        return dataclasses.replace(self, inputs=_first((digest,), self.inputs, INPUTS_KEPT))

    def bare(self) -> Entry:
        """Return the entry without its result: what is needed to find the file, for a worker."""
        return dataclasses.replace(self, result={}, inputs=())


def _first(new: Sequence[Any], old: Sequence[Any], number: int) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(each for each in (*new, *old) if each))[:number]


_KINDS = {"file": str, "sha256": str, "md5": str, "bytes": int, "result": dict, "lasting": bool}


@dataclass(frozen=True)
class Entries:
    """The entries of one stage: STATE/receipts/STAGE/PART/FINGERPRINT.json."""

    folder: str

    @classmethod
    def of_stage(cls, state: Path, stage: str) -> Entries:
        """Return the entries of a stage below a state folder."""
        return cls(str(state / FOLDER / stage))

    def write(self, entry: Entry, samples: Sequence[SampleDigests] = ()) -> None:
        """Write an entry, and remove the oldest entries of its part beyond `ENTRIES_KEPT`."""
        path = self._path(entry.part, entry.fingerprint)
        if samples:  # first, so that an entry has its samples also after a killed run
            rows = [dataclasses.astuple(sample) for sample in samples]
            row_digest.write(_samples_path(path), {"samples": rows})
        row_digest.write(path, _values(entry))
        for old in self._files(entry.part)[ENTRIES_KEPT:]:
            old.unlink(missing_ok=True)
            _samples_path(old).unlink(missing_ok=True)

    def mark_newest(self, entry: Entry, before: Entry) -> None:
        """Make an entry the newest of its part, because its file is used again.

        `before` is the entry as it was read: it is only written if it says more now.
        """
        path = self._path(entry.part, entry.fingerprint)
        if entry == before:
            if not is_remote(path):
                path.touch()
        else:
            samples = () if _samples_path(path).exists() else self.samples(before)
            self.write(entry, samples)

    def of(self, part: str, fingerprint: str) -> Entry | None:
        """Return the part's entry with this fingerprint."""
        entry = _read(self._path(part, fingerprint))
        if entry is None or (entry.part, entry.fingerprint) != (part, fingerprint):
            return None  # a file under another name describes something else
        return entry

    def of_inputs(self, part: str, digest: str) -> Entry | None:
        """Return the part's entry whose inputs had this digest."""
        return next((entry for entry in self.newest_first(part) if digest in entry.inputs), None)

    def samples(self, entry: Entry) -> tuple[SampleDigests, ...]:
        """Return the digests of an entry's samples; none if their file is lost."""
        path = self._path(entry.part, entry.fingerprint)
        values = row_digest.read(_samples_path(path)) or row_digest.read(path) or {}
        return tuple(SampleDigests(*row) for row in values.get("samples", ()))

    def discard(self, entry: Entry) -> None:
        """Remove an entry whose numbers contradict each other, and count it."""
        row_digest.DISCARDED.add()
        row_digest.remove(self._path(entry.part, entry.fingerprint))

    def newest_first(self, part: str) -> Iterator[Entry]:
        """Yield the part's entries, the newest first."""
        for path in self._files(part):
            entry = _read(path)
            if entry is not None and entry.fingerprint == path.stem and entry.part == part:
                yield entry

    def newest(self, part: str) -> Entry | None:
        """Return the part's newest entry."""
        return next(self.newest_first(part), None)

    def newest_fingerprint(self, part: str) -> str:
        """Return the fingerprint of the part's newest entry, which is not read; "" for none."""
        return next((path.stem for path in self._files(part)), "")

    def parts(self, source: str) -> list[str]:
        """Return the parts of a source that have an entry."""
        found = place(self.folder).glob(f"{source}-*/")
        return sorted(path.name for path in found)

    def _path(self, part: str, fingerprint: str) -> Path:
        return place(self.folder) / part / f"{fingerprint}.json"

    def _files(self, part: str) -> list[Path]:
        paths = (place(self.folder) / part).glob("[!.]*.json")
        # by time, then by name, so that files of the same moment have an order too
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _samples_path(path: Path) -> Path:
    return path.with_suffix(".samples")


def _values(entry: Entry) -> dict[str, Any]:
    return {one.name: getattr(entry, one.name) for one in dataclasses.fields(entry)}


def _read(path: Path) -> Entry | None:
    """Return the entry in a file; None if the file is absent or not a valid entry."""
    try:
        values = row_digest.read(path)
        if values is None:
            return None
        entry = of_values(_of_0_8(values) if "samples" in values else values)
    except (TypeError, KeyError, ValueError):  # written by another version of this code
        row_digest.remove(path)
        return None
    valid = all(isinstance(getattr(entry, name), kind) for name, kind in _KINDS.items())
    return entry if valid else None


def of_values(values: Mapping[str, Any]) -> Entry:
    """Return the entry of JSON values. Raises TypeError or KeyError for those of no entry."""
    seen = tuple((int(size), str(tag)) for size, tag in values["seen"])
    return Entry(**{**values, "inputs": tuple(values["inputs"]), "seen": seen})


def _of_0_8(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an entry of 0.8, which has its samples inside and no inputs."""
    rest = {name: value for name, value in values.items() if name != "samples"}
    samples = [SampleDigests(*row) for row in values["samples"]]
    numbers = {"listed": len(samples), "written": sum(sample.written for sample in samples)}
    return {**rest, **(numbers if samples else {}), "inputs": (), "seen": ()}
