"""Work on a part that is not done again where its outcome is still to be had.

Cheapest first: the whole old file, when its fingerprint is the wanted one; else what the work
itself can take over (members.py); else from the sources.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.cache.entries import Receipt, Receipts, Sample
from cxr_vlp.pipelines.cache.images import OldPictures
from cxr_vlp.pipelines.cache.store import Stock, dvc_cache, under_dvc
from cxr_vlp.pipelines.executor.worker import Desk


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

    def agrees(self, receipt: Receipt) -> bool:
        """Tell whether a receipt's numbers fit each other and the part."""


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
        second = str(state / "stock" / stage / source)
        stock = Stock((str(places.staging), str(places.output)), cache, second)
        return cls(work, str(places.staging), receipts, stock, neighbours)

    def __call__(self, part: str, desk: Desk) -> dict[str, Any]:
        """Do a part; return the work's result and how it was come by."""
        wanted = self.work.fingerprint(part)
        path = Path(self.out) / self.work.file(part)
        receipt = self.believed(part, wanted)
        if receipt is not None and receipt.lasting and self.stock.restore(receipt, path):
            self.receipts.renew(receipt)
            return self._outcome("kept", path, receipt.sha256, dict(receipt.result))
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
        outcome = self._outcome(how, path, made.sha256, made.result)
        return outcome | {"decoded": made.decoded, "copied": made.copied}

    def believed(self, part: str, fingerprint: str) -> Receipt | None:
        """Return the part's receipt under a fingerprint, where there is one whose numbers fit."""
        receipt = self.receipts.of(part, fingerprint)
        if receipt is not None and not self.work.agrees(receipt):
            self.receipts.forget(receipt)
            return None
        return receipt

    def tidy(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Let go of files that the set no longer has, when it is published; tell of bad rows."""
        kept = set() if under_dvc() else {str(outcome["sha256"]) for outcome in outcomes}
        self.stock.prune(kept)
        row_digest.tell(sum(int(o["thrown"]) for o in outcomes) + row_digest.THROWN.take())

    def _outcome(self, how: str, path: Path, sha256: str, result: dict[str, Any]) -> dict[str, Any]:
        if not under_dvc():
            self.stock.keep(path, sha256)
        return {
            "result": result,
            "how": how,
            "sha256": sha256,
            "thrown": row_digest.THROWN.take(),
            "decoded": 0,
            "copied": 0,
        }
