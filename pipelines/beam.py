"""The Beam pipelines: DoFns and PTransforms around the functions of other modules.

Records and paths go through Beam; image bytes never do (1 GB through a GroupByKey needs 2 to 7 GB
of memory). An error that stops a stage (a damaged table, a full disk) leaves the pipeline as a row
of the output `faults`, because an exception of a remote worker arrives as one long string.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Beam logs on import that a Google package is absent, which is not needed here
logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())

# ruff: noqa: E402 - the filter must be set before the import
import apache_beam as beam
from apache_beam.pvalue import PCollection

from cxr_vlp.pipelines import errors, interrupts, parts
from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.engines.beam_engine import options
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.errors import ConfigError, DataError, Stop
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.records import Study, dumps
from cxr_vlp.pipelines.sources import base
from cxr_vlp.pipelines.sources.base import Source, Table
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import ReadLayer
from cxr_vlp.pipelines.sources.leave_out import LeftOut, Met
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages.scan_study import FileReader, place_patient, read_files
from cxr_vlp.pipelines.storage.place import place

FAULTS = "faults.jsonl"
LAID = "layers.jsonl"


def run(stage: beam.PTransform, workers: int, chosen: BeamFlags) -> None:
    """Run one transform as a pipeline. Raises the Stop of an error in it."""
    try:
        with beam.Pipeline(options=options(workers, chosen)) as pipeline:
            pipeline | stage
    except Exception as error:  # Beam wraps the original exception
        interrupts.check()  # if a signal stopped the run, nothing is wrong
        stop = errors.unwrapped(error)
        if chosen.local:
            raise stop from None
        raise ConfigError(
            f"--runner {chosen.runner} failed ({type(error).__name__}: {stop}): "
            "without --runner everything runs in this process"
        ) from None


@dataclass
class Guard(beam.DoFn):
    """Applies a generator function; an exception becomes a row of the output `faults`."""

    function: Callable[..., Iterator[Any]]

    def process(self, element: Any) -> Iterator[Any]:
        """Yield the function's results for one element. Raises StoppedError in a stopped run."""
        try:
            for item in self.function(element):
                interrupts.check()
                yield item
        except interrupts.StoppedError:
            raise
        except Stop as stop:
            yield beam.pvalue.TaggedOutput("faults", (type(stop).__name__, str(stop)))
        except OSError as error:
            yield beam.pvalue.TaggedOutput("faults", ("StorageError", str(errors.as_stop(error))))
        except Exception as error:
            yield beam.pvalue.TaggedOutput("faults", ("DataError", str(errors.internal(error))))


@dataclass
class Write(beam.PTransform):
    """Writes a PCollection of records to one file of sorted JSON lines; no file without records."""

    path: str

    def expand(self, records: PCollection) -> PCollection:
        """Return a collection with the path as its only element."""
        return (
            records
            | "Line" >> beam.Map(dumps)
            | "Together" >> beam.WithKeys(self.path)
            | "Group" >> beam.GroupByKey()
            | "Write" >> beam.MapTuple(_write_sorted)
        )


def _write_sorted(path: str, lines: Sequence[str]) -> str:
    jsonl.write_lines(Path(path), sorted(lines))
    return path


def raise_faults(folder: Path) -> None:
    """Raise the first fault that a pipeline wrote into its folder, if any."""
    path = folder / FAULTS
    if path.exists():
        name, message = min(map(tuple, jsonl.read_records(path)))
        path.unlink()
        raise errors.BY_NAME.get(name, DataError)(message)


@dataclass
class BuildInventory(beam.PTransform):
    """Builds an inventory: reads tables and files, joins studies, orders patients, writes parts."""

    source: Source
    root: str
    rule: PatientRule
    ids: Ids
    counts: Mapping[str, int]
    out: str
    file_index: str  # path of the file index
    official: bool = False  # the collection's own digests are used
    links: bool = False  # links may lead out of the root
    layers: tuple[ReadLayer, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def tree(self) -> RawTree:
        """The raw tree, and whether links may lead out of it."""
        return RawTree(place(self.root), self.links, Path(self.file_index).parent)

    def expand(self, pipeline: beam.Pipeline) -> None:
        """Write parts, rejects.jsonl, counts.jsonl and, after an error, faults.jsonl.

        layers.jsonl has [layer, image] for every image of a layer that is in the inventory.
        """
        tables = self.source.tables(self.tree)
        read = {table.name: self._read(pipeline, table) for table in tables}
        joined = {name: rows.main for name, rows in read.items()} | beam.CoGroupByKey()
        assembled = joined | "Assemble" >> _guarded(self._assemble, "rejects", "counts", "hits")
        left_out = (self._leave_out_of(assembled.main),) if self.left_out else ()
        digested = (
            (*left_out, assembled)[0].main
            | "Spread" >> beam.Reshuffle()
            | "ReadFiles" >> _guarded(self._read_files, "rejects", "counts", "laid")
        )
        placed = (
            digested.main
            | "ByPatient" >> beam.GroupBy(lambda study: study.patient)
            | "PlacePatient" >> _guarded(self._place_patient)
        )
        written = (
            placed.main
            | "ByPart" >> beam.GroupBy(self._part)
            | "WritePart" >> _guarded(self._write_part)
        )
        steps = (*read.values(), assembled, *left_out, digested, placed, written)
        faulty = [step.faults for step in steps]
        faulty | beam.Flatten() | "Faults" >> Write(f"{self.out}/{FAULTS}")
        digested.laid | "Laid" >> Write(f"{self.out}/{LAID}")
        rejects = [step.rejects for step in (assembled, *left_out, digested)]
        rejects | "AllRejects" >> beam.Flatten() | "Rejects" >> Write(f"{self.out}/rejects.jsonl")
        (
            [assembled.counts, self._named(assembled.hits), digested.counts]
            | "AllCounts" >> beam.Flatten()
            | "Add" >> beam.CombinePerKey(sum)
            | "Counts" >> Write(f"{self.out}/counts.jsonl")
        )

    def _leave_out_of(self, met: PCollection) -> beam.pvalue.DoOutputsTuple:
        """Leave out what the lists name; one image may name the patient of many studies."""
        people = met | "ByPerson" >> beam.GroupBy(lambda each: each.study.patient)
        return people | "LeaveOut" >> _guarded(self._leave_out, "rejects")

    @staticmethod
    def _named(hits: PCollection) -> PCollection:
        """Return ("named:LIST", 1) for every id that names somebody, each id once."""
        return (
            hits
            | "Ids" >> beam.Map(lambda hit: (hit.list, hit.id))
            | "EachOnce" >> beam.Distinct()
            | "Named" >> beam.Map(lambda pair: (f"named:{pair[0]}", 1))
        )

    def _read(self, pipeline: beam.Pipeline, table: Table) -> beam.pvalue.DoOutputsTuple:
        created = pipeline | f"Table({table.name})" >> beam.Create([table])
        return created | f"Read({table.name})" >> _guarded(self._rows)

    def _rows(self, table: Table) -> Iterator[tuple[str, Row]]:
        for row in self.source.rows(self.tree, table):
            COUNTS.add("rows")
            yield row

    def _assemble(self, joined: tuple[str, Mapping[str, Sequence[Row]]]) -> Iterator[Any]:
        study, rows = joined
        result = base.assembled(self.source, study, rows, self.rule)
        COUNTS.add("studies")
        if result.study is not None:
            COUNTS.add("images", len(result.study.images))
            if self.left_out:
                met = self.left_out.met(result.study, self.ids, result.lost)
                yield met
                yield from (beam.pvalue.TaggedOutput("hits", hit) for hit in met.hits)
            else:
                yield self.ids.study(result.study)
        for lost in result.lost:
            yield beam.pvalue.TaggedOutput("rejects", self.ids.reject(study, lost))
        yield beam.pvalue.TaggedOutput("counts", ("listed", result.listed))
        yield from _noted(result.notes)

    def _leave_out(self, person: tuple[str, Sequence[Met]]) -> Iterator[Any]:
        kept = self.left_out.kept(person[1])
        yield from kept.studies
        for lost in kept.rejects:
            yield beam.pvalue.TaggedOutput("rejects", lost)

    def _read_files(self, study: Study) -> Iterator[Any]:
        files = FileReader(self.tree, file_index.shared(self.file_index), self.official)
        read = read_files(study, self.source, files)
        COUNTS.add("files", len(study.images))
        if read.study is not None:
            study_with, matched = layered.lay(read.study, self.layers)
            yield study_with
            for layer, names in matched.items():
                for name in names:
                    yield beam.pvalue.TaggedOutput("laid", (layer, name))
        for lost in read.rejects:
            yield beam.pvalue.TaggedOutput("rejects", lost)
        yield from _noted(read.notes)

    def _place_patient(self, group: tuple[str, Sequence[Study]]) -> Iterator[Study]:
        yield from layered.find_earlier(place_patient(group[1]), self.layers)

    def _part(self, study: Study) -> str:
        return parts.of(self.source.name, study.split, study.key, self.counts)

    def _write_part(self, part: tuple[str, Sequence[Study]]) -> Iterator[str]:
        name, studies = part
        path = Path(self.out) / f"{name}.jsonl"
        jsonl.write_records(path, sorted(studies, key=lambda study: study.key))
        yield name


def _noted(notes: Mapping[str, int]) -> Iterator[Any]:
    for code, number in notes.items():
        yield beam.pvalue.TaggedOutput("counts", (f"note:{code}", number))


def _guarded(function: Callable[..., Iterator[Any]], *tags: str) -> beam.ParDo:
    return beam.ParDo(Guard(function)).with_outputs(*tags, "faults", main="main")
