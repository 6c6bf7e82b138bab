"""The Beam pipelines: DoFns and PTransforms around the functions of other modules.

Records and paths go through Beam; image bytes never do (1 GB through a GroupByKey needs 2 to 7 GB
of memory). An error that stops a stage (a damaged table, a full disk) leaves the pipeline as a row
of the output `faults`, because an exception of a remote worker arrives as one long string.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Beam logs on import that a Google package is absent, which is not needed here
logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())

# ruff: noqa: E402 - the filter must be set before the import
import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

from cxr_vlp.pipelines import errors, interrupts, parts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.executor import beam_runners, pool
from cxr_vlp.pipelines.executor.beam_runners import BeamFlags
from cxr_vlp.pipelines.executor.pool import PartPool, Work
from cxr_vlp.pipelines.executor.run_log import logging_parts
from cxr_vlp.pipelines.files import privacy

FAULTS = "faults.jsonl"
LAID = "layers.jsonl"
SILENCED = ("common", "worker")  # they print an exception's message, which may quote a report


def options(workers: int, chosen: BeamFlags) -> PipelineOptions:
    """Return Beam's options: the runner, and the number of its threads."""
    flags = [] if chosen.flags else [f"--runner={chosen.runner}"]
    if workers > 1 and chosen.local:
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={workers}"]
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    for name in SILENCED:
        logging.getLogger(f"apache_beam.runners.{name}").setLevel(logging.CRITICAL)
    return PipelineOptions([*flags, *chosen.flags])


def known_flags() -> set[str]:
    """Return the names of all flags that Beam has."""
    # Beam's own parser: its subclasses need methods that argparse's parser does not have
    parser = pipeline_options._BeamArgumentParser(add_help=False, allow_abbrev=False)
    for kind in dict.fromkeys(PipelineOptions.__subclasses__()):
        with contextlib.suppress(argparse.ArgumentError):  # two of them have the same flag
            kind._add_argparse_args(parser)
    return {name for action in parser._actions for name in action.option_strings}


@dataclass(frozen=True)
class RunSettings:
    """How a stage runs; nothing here changes the bytes of its output."""

    stage: str
    workers: int
    state: Path  # its folder `logs` gets one line per finished part
    beam: BeamFlags = beam_runners.IN_PROCESS
    image_timeout: float = pool.IMAGE_TIMEOUT  # seconds

    def log(self, names: Sequence[str]) -> Path:
        """Return the log's path: STATE/logs/STAGE-SOURCE.log."""
        return self.state / "logs" / f"{self.stage}-{parts.source_of(names[0])}.log"


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
class EachPart(beam.PTransform):
    """Distributes the names of parts over bundles; a PartPool does the parts of a bundle."""

    names: Sequence[str]
    pool: PartPool

    def expand(self, pipeline: beam.Pipeline) -> PCollection:
        """Run the pool's work on every part."""
        created = pipeline | "Parts" >> beam.Create(self.names) | "Spread" >> beam.Reshuffle()
        return created | "Work" >> beam.ParDo(Bundle(self.pool))


@dataclass
class Bundle(beam.DoFn):
    """Runs the parts of a bundle in a PartPool; results are files, so any runner works."""

    pool: PartPool

    def start_bundle(self) -> None:
        """Begin to collect parts."""
        self._names: list[str] = []

    def process(self, name: str) -> None:
        """Collect a part."""
        self._names.append(name)

    def finish_bundle(self) -> None:
        """Do the bundle's parts in parallel."""
        self.pool.run(sorted(self._names))


def run_parts(
    work: Work, names: Sequence[str], staging: Path, settings: RunSettings
) -> list[dict[str, Any]]:
    """Run `work` on parts; return every part's result in the order of `names`.

    Raises the Stop of a part that could not be done.
    """
    folder = staging / ".results"
    shutil.rmtree(folder, ignore_errors=True)  # a killed run may have left its results
    folder.mkdir()
    workers = PartPool(
        work, str(folder), settings.workers, settings.image_timeout, privacy.current()
    )
    with logging_parts(folder, len(names), settings.stage, settings.log(names)):
        run(EachPart(names, workers), 1, settings.beam)
    found = pool.read_results(folder, names)
    shutil.rmtree(folder)
    return found
