"""Work on a part that is not done again where its outcome is still to be had.

Cheapest first: the whole old file, when its fingerprint is the wanted one; else what the work
itself can take over (members.py); else from the sources.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.earlier.members import OldPictures
from pipelines.earlier.receipts import Receipt, Receipts, Sample
from pipelines.earlier.stock import Stock, dvc_cache
from pipelines.workers.desk import Desk


@dataclass(frozen=True)
class Made:
    """What the work made of a part: the file's digests, and what it has to say of it."""

    sha256: str  # "": there was nothing to write, and there is no file
    md5: str
    bytes: int
    result: dict[str, Any]
    samples: tuple[Sample, ...] = ()
    lasting: bool = True  # False: something failed that may not fail again
    decoded: int = 0
    copied: int = 0


class PartWork(Protocol):
    """One stage's work on one part; its outcome follows from `fingerprint` alone."""

    def file(self, part: str) -> str:
        """Return the relative path of the file it writes."""

    def fingerprint(self, part: str) -> str:
        """Return the digest of everything that decides the outcome; nothing costly is read."""

    def make(self, part: str, path: Path, old: OldPictures, desk: Desk) -> Made:
        """Write the file."""


@dataclass(frozen=True)
class Places:
    """Where a stage writes, and where its output is, or was."""

    staging: Path
    output: Path


@dataclass(frozen=True)
class Reusing:
    """A PartWork under the rules of reuse; called with a part's name by the crew."""

    work: PartWork
    out: str
    receipts: Receipts
    stock: Stock
    neighbours: tuple[str, ...] = ()  # the parts that had receipts when the run began

    @classmethod
    def of_stage(
        cls, work: PartWork, stage: str, source: str, state: Path, places: Places
    ) -> Reusing:
        """Return the work with what earlier runs of its stage left behind."""
        receipts = Receipts.of_stage(state, stage)
        neighbours = tuple(receipts.parts(source))
        cache = dvc_cache(places.output.parent) if neighbours else ""
        stock = Stock((str(places.staging), str(places.output)), cache)
        return cls(work, str(places.staging), receipts, stock, neighbours)

    def __call__(self, part: str, desk: Desk) -> dict[str, Any]:
        """Do a part; return the work's result and how it was come by."""
        wanted = self.work.fingerprint(part)
        path = Path(self.out) / self.work.file(part)
        receipt = self.receipts.of(part, wanted)
        if receipt is not None and receipt.lasting and self.stock.restore(receipt, path):
            self.receipts.renew(receipt)
            return {"result": dict(receipt.result), "how": "kept", "decoded": 0, "copied": 0}
        start = time.monotonic()
        old = OldPictures(self.receipts, self.stock, part, self.neighbours)
        made = self.work.make(part, path, old, desk)
        self.receipts.keep(
            Receipt(
                part=part,
                fingerprint=wanted,
                file=self.work.file(part),
                sha256=made.sha256,
                md5=made.md5,
                bytes=made.bytes,
                lasting=made.lasting,
                result=made.result,
                samples=made.samples,
                seconds=round(time.monotonic() - start, 3),
                decoded=made.decoded,
            )
        )
        how = "rewritten" if made.copied else "built"
        return {"result": made.result, "how": how, "decoded": made.decoded, "copied": made.copied}
