"""Runs the work of a stage on a part, unless an earlier outcome can be reused.

It tries three ways, the cheapest first: keep the whole old file, if its fingerprint is the same;
write a new file with images copied from earlier tars (images.py); build everything from the
sources.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from cxr_vlp.pipelines.cache import row_digest, store
from cxr_vlp.pipelines.cache.entries import Entries, Entry, SampleDigests
from cxr_vlp.pipelines.cache.images import CachedImages
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.storage.place import place


@dataclass(frozen=True)
class PartResult:
    """The result of the work on a part, and the digests of its file."""

    sha256: str  # "" if the part has nothing to write; then there is no file
    md5: str
    bytes: int
    result: dict[str, Any]
    samples: tuple[SampleDigests, ...] = ()
    lasting: bool = True  # False: a failure may not occur again
    decoded: int = 0  # images
    copied: int = 0  # images


class PartInput(Protocol):
    """The input of a part from the stages before, read once."""

    @property
    def name(self) -> str:
        """The part's name."""

    @property
    def fingerprint(self) -> str:
        """The digest of everything that decides the outcome."""

    @property
    def digests(self) -> Mapping[str, str]:
        """The sha256 of the files that were read, by stage."""


Input = TypeVar("Input", bound=PartInput)


class PartBuilder(Protocol[Input]):
    """A stage's work on one part; the outcome depends on the input's fingerprint alone."""

    def file(self, part: str) -> str:
        """Return the relative path of the part's output file."""

    def load(self, part: str) -> Input:
        """Read the part's input; no image or report is read."""

    def build(
        self, part: Input, path: Path, cached: CachedImages, worker: WorkerState
    ) -> PartResult:
        """Write the output file."""

    def agrees(self, entry: Entry, part: Input) -> bool:
        """Return whether an entry's numbers fit each other and the part."""


@dataclass(frozen=True)
class StageFolders:
    """The folder that a stage writes to, and the folder of its finished output."""

    staging: Path
    output: Path


@dataclass(frozen=True)
class Incremental(Generic[Input]):
    """Runs a PartBuilder on parts and reuses results of earlier runs; the pool calls it."""

    builder: PartBuilder[Input]
    out: str
    entries: Entries
    store: Store
    neighbours: tuple[str, ...] = ()  # the parts that had entries when the run began

    @classmethod
    def of_stage(
        cls,
        builder: PartBuilder[Input],
        stage: str,
        source: str,
        state: Path,
        folders: StageFolders,
    ) -> Incremental[Input]:
        """Return the builder with the cache of earlier runs of its stage."""
        entries = Entries.of_stage(state, stage)
        neighbours = tuple(entries.parts(source))
        cache = store.dvc_cache(folders.output.parent) if neighbours else ""
        links = str(state / store.FOLDER / stage / source)
        places = Store((str(folders.staging), str(folders.output)), cache, links)
        return cls(builder, str(folders.staging), entries, places, neighbours)

    def __call__(self, name: str, worker: WorkerState) -> dict[str, Any]:
        """Do a part; return the work's result and whether it was kept, rewritten or built."""
        part = self.builder.load(name)
        path = place(self.out) / self.builder.file(name)
        entry = self.valid_entry(part)
        if entry is not None and entry.lasting and self.store.restore(entry, path):
            self.entries.mark_newest(entry)
            kept = PartResult(entry.sha256, entry.md5, entry.bytes, dict(entry.result))
            return self._outcome("kept", path, kept, part)
        start = time.monotonic()
        cached = CachedImages(self.entries, self.store, name, self.neighbours)
        made = self.builder.build(part, path, cached, worker)
        self._remember(part, made, time.monotonic() - start)
        return self._outcome("rewritten" if made.copied else "built", path, made, part)

    def valid_entry(self, part: Input) -> Entry | None:
        """Return the part's entry; None if there is none, or if its numbers do not fit."""
        entry = self.entries.of(part.name, part.fingerprint)
        if entry is not None and not self.builder.agrees(entry, part):
            self.entries.discard(entry)
            return None
        return entry

    def finish(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """After the set is published: remove links of old files, report damaged rows."""
        kept = set() if store.under_dvc() else {str(outcome["sha256"]) for outcome in outcomes}
        self.store.prune(kept)
        discarded = sum(int(outcome["discarded"]) for outcome in outcomes)
        row_digest.report(discarded + row_digest.DISCARDED.take())

    def _remember(self, part: Input, made: PartResult, seconds: float) -> None:
        self.entries.write(
            Entry(
                part=part.name,
                fingerprint=part.fingerprint,
                file=self.builder.file(part.name),
                sha256=made.sha256,
                md5=made.md5,
                bytes=made.bytes,
                lasting=made.lasting,
                result=made.result,
                samples=made.samples,
                seconds=round(seconds, 3),
                decoded=made.decoded,
            )
        )

    def _outcome(self, how: str, path: Path, made: PartResult, part: Input) -> dict[str, Any]:
        if not store.under_dvc():
            self.store.link(path, made.sha256)
        return {
            "result": made.result,
            "how": how,
            "sha256": made.sha256,
            "inputs": dict(part.digests),
            "discarded": row_digest.DISCARDED.take(),
            "decoded": made.decoded,
            "copied": made.copied,
        }


@dataclass(frozen=True)
class PartWork(Generic[Input]):
    """The work of a stage on one element, whose name is that of a part (a base.Work)."""

    incremental: Incremental[Input]
    isolated: bool = True

    def __call__(self, element: tuple[str, Any], worker: WorkerState) -> dict[str, Any]:
        """Do the part that the element names."""
        return self.incremental(element[0], worker)
