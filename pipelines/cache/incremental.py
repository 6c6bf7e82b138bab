"""Runs the work of a stage on the parts whose outcome cannot be reused.

The driver (the process of the command) looks into the cache: a part whose input files and
parameters have known digests is kept without being read, and its file is put in place as a link.
The other parts are mapped over an engine. A worker reads the input of its part; if it is the same
after all (a file that was touched, say), it says so, and the driver keeps the file. Else it writes
a new file, with images copied from earlier tars (images.py) or made from the sources. The driver
writes the cache entries, from the results; a worker needs no state folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from cxr_vlp.pipelines.cache import dvc_cache, entries, identity, row_digest, store
from cxr_vlp.pipelines.cache.entries import Entries, Entry, SampleDigests
from cxr_vlp.pipelines.cache.image_index import ImageIndex
from cxr_vlp.pipelines.cache.images import CachedImages
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.engines.base import Element, Result, Work
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.storage.place import is_remote, place

KEPT, REWRITTEN, BUILT = "kept", "rewritten", "built"
# of a worker's result: what the attempt itself took, and the times of the file that it wrote
SPENT = ("how", "seconds", "decoded", "copied", "discarded", "seen")

Mapped = Callable[[Work, Sequence[Element]], Iterable[tuple[str, Result]]]  # an engine's `map`


@dataclass(frozen=True)
class PartResult:
    """The result of the work on a part, and the digests of its file."""

    sha256: str  # "" if the part has nothing to write; then there is no file
    md5: str
    bytes: int
    result: dict[str, Any]
    listed: int  # studies or images of the part
    written: int
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

    @property
    def isolated(self) -> bool:
        """Whether it decodes untrusted files with C code."""

    @property
    def images(self) -> str:
        """The digest of what decides pixels, beside the image files; "" if there are none."""

    def file(self, part: str) -> str:
        """Return the relative path of the part's output file."""

    def inputs(self, digests: Mapping[str, str]) -> str:
        """Return the digest of the parameters and of the part's input files, by stage.

        Equal digests have equal fingerprints; equal fingerprints may have other digests.
        """

    def load(self, part: str) -> Input:
        """Read the part's input; no image or report is read."""

    def build(
        self, part: Input, path: Path, cached: CachedImages, worker: WorkerState
    ) -> PartResult:
        """Write the output file."""

    def agrees(self, entry: Entry) -> bool:
        """Return whether an entry's numbers fit each other."""


@dataclass(frozen=True)
class StageFolders:
    """The folder that a stage writes to, and the folder of its finished output."""

    staging: Path
    output: Path


@dataclass(frozen=True)
class PartWork(Generic[Input]):
    """The work of a worker on one part (a Work of engines/base.py)."""

    builder: PartBuilder[Input]
    out: str
    store: Store
    entries: Entries
    index: ImageIndex
    isolated: bool

    spent = SPENT

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Do a part; `element.payload` is that of Incremental.element.

        Return "same" with the fingerprint if the driver has its file, else what was made.
        """
        start = time.monotonic()
        part = self.builder.load(element.name)
        found = {"fingerprint": part.fingerprint, "inputs": dict(part.digests)}
        if part.fingerprint in element.payload["known"]:
            return {**found, "how": KEPT, "discarded": row_digest.DISCARDED.take()}
        path = place(self.out) / self.builder.file(element.name)
        with contextlib.closing(self.cached(element)) as cached:
            made = self.builder.build(part, path, cached, worker)
        return {
            **found,
            **{one.name: getattr(made, one.name) for one in dataclasses.fields(made)},
            "samples": [list(dataclasses.astuple(sample)) for sample in made.samples],
            "how": REWRITTEN if made.copied else BUILT,
            "seen": identity.of(path) if made.sha256 else None,
            "seconds": round(time.monotonic() - start, 3),
            "discarded": row_digest.DISCARDED.take(),
        }

    def cached(self, element: Element) -> CachedImages:
        """Return the images in earlier tars, for the part of an element."""
        old = [entries.of_values(values) for values in element.payload["old"]]
        return CachedImages(self.store, old, self.entries, self.index)


@dataclass(frozen=True)
class Incremental(Generic[Input]):
    """Decides which parts are kept, and has the others made; everything of the driver."""

    builder: PartBuilder[Input]
    source: str
    out: str
    entries: Entries
    store: Store
    index: ImageIndex
    log: Path  # gets one line for each kept part, as the engine writes for the others

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
        old = Entries.of_stage(state, stage)
        remote = is_remote(folders.output)
        cache = dvc_cache.DvcCache() if remote else dvc_cache.of_project(folders.output.parent)
        links = "" if remote or is_remote(state) else str(state / store.FOLDER / stage / source)
        places = Store((str(folders.staging), str(folders.output)), cache, links)
        index = ImageIndex.of_source(old, source)
        log = state / "logs" / f"{stage}-{source}.log"
        return cls(builder, source, str(folders.staging), old, places, index, log)

    @property
    def work(self) -> PartWork[Input]:
        """What a worker does."""
        return PartWork(
            self.builder, self.out, self.store, self.entries, self.index, self.builder.isolated
        )

    def run(self, digests: Mapping[str, Mapping[str, str]], mapped: Mapped) -> list[dict[str, Any]]:
        """Keep or make the parts; return each outcome, in the order of `digests`.

        `digests`: part -> stage -> sha256 of the part's input file of that stage. `mapped` does the
        work on an engine; it is not called if all parts are kept.
        Raises DataError if a part has no outcome, and what `mapped` raises.
        """
        identity.forget()
        kept = {name: self._kept(name, read) for name, read in digests.items()}
        outcomes = {name: outcome for name, outcome in kept.items() if outcome is not None}
        self._log_kept(list(outcomes), len(digests))
        todo = [self.element(name) for name in digests if name not in outcomes]
        if todo and self.builder.isolated:
            self.index.refresh(self.entries, self.source)
        while todo:
            again = []
            for name, result in mapped(self.work, todo):
                outcome = self._outcome(name, result)
                if outcome is None:  # the file that was said to be the same is damaged
                    again.append(Element(name, self.element(name).payload | {"known": []}))
                else:
                    outcomes[name] = outcome
            todo = again
        if lost := len(digests) - len(outcomes):
            raise DataError(
                f"runner.lost: {lost} of {len(digests)} parts have no result: run again"
            )
        return [outcomes[name] for name in digests]

    def element(self, name: str) -> Element:
        """Return what a worker needs to know of the earlier outcomes of a part."""
        old = [e for e in self.entries.newest_first(name) if self.builder.agrees(e)]
        known = [e.fingerprint for e in old if e.lasting and self.store.may_have(e)]
        # an image of other parameters cannot be the same
        alike = [entry for entry in old if entry.images in ("", self.builder.images)]
        tars = alike if self.builder.isolated else []
        return Element(name, {"known": known, "old": [dataclasses.asdict(e.bare()) for e in tars]})

    def usable(self, name: str, digests: Mapping[str, str]) -> Entry | None:
        """Return the part's entry of these inputs; None if there is none that can be kept."""
        entry = self.entries.of_inputs(name, self.builder.inputs(digests))
        return self.checked(entry)

    def checked(self, entry: Entry | None) -> Entry | None:
        """Return an entry if its file can be kept; one whose numbers do not fit is removed."""
        if entry is not None and not self.builder.agrees(entry):
            self.entries.discard(entry)
            return None
        return entry if entry is not None and entry.lasting else None

    def cached(self, element: Element) -> CachedImages:
        """Return the images in earlier tars, as the worker of an element sees them."""
        return self.work.cached(element)

    def sources(
        self, names: Sequence[str], outcomes: Sequence[Mapping[str, Any]]
    ) -> dict[str, Path]:
        """Return file -> place of the kept files that publishing copies inside an object store."""
        pairs = zip(names, outcomes, strict=True)
        return {self.builder.file(n): place(o["source"]) for n, o in pairs if o.get("source")}

    def finish(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """After the set is published: remove links of old files, report damaged rows."""
        under = store.under_dvc()
        kept = set() if under else {str(outcome["sha256"]) for outcome in outcomes}
        self.store.prune(kept)
        discarded = sum(int(outcome["discarded"]) for outcome in outcomes)
        row_digest.report(discarded + row_digest.DISCARDED.take())

    def _kept(self, name: str, digests: Mapping[str, str]) -> dict[str, Any] | None:
        entry = self.usable(name, digests)
        return None if entry is None else self._restored(entry, digests, 0)

    def _restored(
        self, entry: Entry, digests: Mapping[str, str], discarded: int
    ) -> dict[str, Any] | None:
        """Return the outcome of a part whose file is put in place; None if the file is lost."""
        path = place(self.out) / entry.file
        restored = self.store.restore(entry, path)
        if restored is None:
            return None
        found, source = restored
        now = found.with_inputs(self.builder.inputs(digests))
        now = dataclasses.replace(now, images=self.builder.images)
        self.entries.mark_newest(now, entry)
        done = {"how": KEPT, "decoded": 0, "copied": 0, "discarded": discarded, "source": source}
        return self._published(now, path, digests) | done

    def _outcome(self, name: str, result: Result) -> dict[str, Any] | None:
        """Return the outcome of a worker's result; None if the part must be made after all."""
        digests, discarded = result["inputs"], int(result["discarded"])
        if result["how"] == KEPT:
            entry = self.checked(self.entries.of(name, result["fingerprint"]))
            return None if entry is None else self._restored(entry, digests, discarded)
        entry = self._entry(name, result)
        self.entries.write(entry, [SampleDigests(*row) for row in result["samples"]])
        done = {key: result[key] for key in ("how", "decoded", "copied", "discarded")}
        return self._published(entry, place(self.out) / entry.file, digests) | done

    def _entry(self, name: str, result: Result) -> Entry:
        """Return the entry of what a worker made."""
        copied = ("sha256", "md5", "bytes", "lasting", "result", "seconds", "decoded", "listed")
        made = Entry(
            part=name,
            fingerprint=result["fingerprint"],
            file=self.builder.file(name),
            written=result["written"],
            images=self.builder.images,
            **{key: result[key] for key in copied},
        )
        seen = tuple(result["seen"]) if result["seen"] else None
        return made.with_inputs(self.builder.inputs(result["inputs"])).with_seen(seen)

    def _published(self, entry: Entry, path: Path, digests: Mapping[str, str]) -> dict[str, Any]:
        if not store.under_dvc():
            self.store.link(path, entry.sha256)
        return {"result": dict(entry.result), "sha256": entry.sha256, "inputs": dict(digests)}

    def _log_kept(self, names: Sequence[str], total: int) -> None:
        if not names or is_remote(self.log):
            return
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as stream:
            for number, name in enumerate(names, start=1):
                stream.write(f"{now} {name} {KEPT} decoded=0 copied=0 {number}/{total}\n")
