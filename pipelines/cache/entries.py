"""Stores cache entries: the result of a stage for a part, under the fingerprint of its inputs.

An entry holds the digests and size of the file that was made, and the return value of the work, so
a file that still exists somewhere is not made again. Entries are in the state folder (.cxr/), which
is never tracked: without them everything is made again, with the same bytes. Each entry has a
digest of its own (row_digest.py); an entry that does not match it is removed, and its part is made
again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest

FOLDER = "receipts"  # its name since version 0.1: another name would lose every user's cache
ENTRIES_KEPT = 16  # per part; returning to an older state than that builds the part again


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
    samples: tuple[SampleDigests, ...] = ()
    seconds: float = 0.0  # that the work took, for estimates
    decoded: int = 0  # images


_KINDS = {"file": str, "sha256": str, "md5": str, "bytes": int, "result": dict}


@dataclass(frozen=True)
class Entries:
    """The entries of one stage: STATE/receipts/STAGE/PART/FINGERPRINT.json."""

    folder: str

    @classmethod
    def of_stage(cls, state: Path, stage: str) -> Entries:
        """Return the entries of a stage below a state folder."""
        return cls(str(state / FOLDER / stage))

    def write(self, entry: Entry) -> None:
        """Write an entry, and remove the oldest entries of its part beyond `ENTRIES_KEPT`."""
        folder = Path(self.folder) / entry.part
        values = dataclasses.asdict(entry)
        values["samples"] = [dataclasses.astuple(sample) for sample in entry.samples]
        row_digest.write(folder / f"{entry.fingerprint}.json", values)
        for old in self._files(entry.part)[ENTRIES_KEPT:]:
            old.unlink(missing_ok=True)

    def mark_newest(self, entry: Entry) -> None:
        """Make an entry the newest of its part, because its file is used again."""
        (Path(self.folder) / entry.part / f"{entry.fingerprint}.json").touch()

    def of(self, part: str, fingerprint: str) -> Entry | None:
        """Return the part's entry with this fingerprint."""
        entry = _read(Path(self.folder) / part / f"{fingerprint}.json")
        if entry is None or (entry.part, entry.fingerprint) != (part, fingerprint):
            return None  # a file under another name describes something else
        return entry

    def discard(self, entry: Entry) -> None:
        """Remove an entry whose numbers contradict each other, and count it."""
        row_digest.DISCARDED.add()
        row_digest.remove(Path(self.folder) / entry.part / f"{entry.fingerprint}.json")

    def newest_first(self, part: str) -> Iterator[Entry]:
        """Yield the part's entries, the newest first."""
        for path in self._files(part):
            entry = _read(path)
            if entry is not None:
                yield entry

    def newest(self, part: str) -> Entry | None:
        """Return the part's newest entry."""
        return next(self.newest_first(part), None)

    def parts(self, source: str) -> list[str]:
        """Return the parts of a source that have an entry."""
        found = Path(self.folder).glob(f"{source}-*/")
        return sorted(path.name for path in found)

    def _files(self, part: str) -> list[Path]:
        paths = (Path(self.folder) / part).glob("[!.]*.json")
        # by time, then by name, so that files of the same moment have an order too
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _read(path: Path) -> Entry | None:
    """Return the entry in a file; None if the file is absent or not a valid entry."""
    try:
        values = row_digest.read(path)
        if values is None:
            return None
        samples = tuple(SampleDigests(*row) for row in values["samples"])
        entry = Entry(**{**values, "samples": samples})
    except (TypeError, KeyError):  # written by another version of this code
        row_digest.remove(path)
        return None
    valid = all(isinstance(getattr(entry, name), kind) for name, kind in _KINDS.items())
    return entry if valid else None
