"""What a stage once made of a part, under the fingerprint of everything that decided it.

A receipt says what to look for (digests, size) and what the work had returned, so a file that is
still somewhere need not be made again. Receipts lie in the state folder (.cxr/), which is never
tracked: without them everything is made anew, and nothing is ever wrong. Each has a digest of its
own (sealed.py); one that does not match it is removed, and its part is made again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest

KEPT = 16  # receipts a part; going further back than so many changes builds anew


@dataclass(frozen=True)
class Sample:
    """What decided one sample: digests cut to 16 hex digits, enough to tell what moved."""

    key: str
    source: str  # of the picture file's bytes
    image: str  # fingerprint of the encoded picture
    sample: str  # fingerprint of all three members
    written: bool = True  # False: rejected


@dataclass(frozen=True)
class Receipt:
    """One file that a stage made of one part; `sha256` "" where the part had nothing to write."""

    part: str
    fingerprint: str
    file: str  # relative to the output folder
    sha256: str
    md5: str  # the name DVC's cache knows it by
    bytes: int
    lasting: bool  # False: something failed that may not fail again; only its samples are of use
    result: Mapping[str, Any]  # what the work returned
    samples: tuple[Sample, ...] = ()
    seconds: float = 0.0  # that the work took, for estimates
    decoded: int = 0


_KINDS = {"file": str, "sha256": str, "md5": str, "bytes": int, "result": dict}


@dataclass(frozen=True)
class Receipts:
    """The receipts of one stage: STATE/receipts/STAGE/PART/FINGERPRINT.json."""

    folder: str

    @classmethod
    def of_stage(cls, state: Path, stage: str) -> Receipts:
        """Return the receipts of a stage below a state folder."""
        return cls(str(state / "receipts" / stage))

    def keep(self, receipt: Receipt) -> None:
        """Write a receipt; the oldest ones of its part beyond `KEPT` go."""
        folder = Path(self.folder) / receipt.part
        values = dataclasses.asdict(receipt)
        values["samples"] = [dataclasses.astuple(sample) for sample in receipt.samples]
        row_digest.write(folder / f"{receipt.fingerprint}.json", values)
        for old in self._files(receipt.part)[KEPT:]:
            old.unlink(missing_ok=True)

    def renew(self, receipt: Receipt) -> None:
        """Make a receipt the newest of its part: what it tells of is in use again."""
        (Path(self.folder) / receipt.part / f"{receipt.fingerprint}.json").touch()

    def of(self, part: str, fingerprint: str) -> Receipt | None:
        """Return the part's receipt under this fingerprint."""
        receipt = _read(Path(self.folder) / part / f"{fingerprint}.json")
        if receipt is None or (receipt.part, receipt.fingerprint) != (part, fingerprint):
            return None  # a file under another's name tells of something else
        return receipt

    def forget(self, receipt: Receipt) -> None:
        """Throw a receipt away whose own numbers contradict each other, and count it."""
        row_digest.THROWN.add()
        row_digest.forget(Path(self.folder) / receipt.part / f"{receipt.fingerprint}.json")

    def latest(self, part: str) -> Iterator[Receipt]:
        """Yield the part's receipts, the newest first."""
        for path in self._files(part):
            receipt = _read(path)
            if receipt is not None:
                yield receipt

    def parts(self, source: str) -> list[str]:
        """Return the parts of a source that have a receipt."""
        found = Path(self.folder).glob(f"{source}-*/")
        return sorted(path.name for path in found)

    def _files(self, part: str) -> list[Path]:
        paths = (Path(self.folder) / part).glob("[!.]*.json")
        # by time, then by name: two of the same moment have an order too
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _read(path: Path) -> Receipt | None:
    """Return what a receipt file holds; None for one that is absent or no receipt of today's."""
    try:
        values = row_digest.read(path)
        if values is None:
            return None
        samples = tuple(Sample(*row) for row in values["samples"])
        receipt = Receipt(**{**values, "samples": samples})
    except (TypeError, KeyError):  # sealed by other code than this
        row_digest.forget(path)
        return None
    sound = all(isinstance(getattr(receipt, name), kind) for name, kind in _KINDS.items())
    return receipt if sound else None
