"""The flags of a stage that choose its engine, and the engine that they choose."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.engines import beam_flags, spark_checks
from cxr_vlp.pipelines.engines.base import STALLED, Element, Engine, Outcome, RunSettings, Work
from cxr_vlp.pipelines.engines.beam_flags import IN_PROCESS, BeamFlags
from cxr_vlp.pipelines.errors import ConfigError

ENGINES = ("beam", "spark")


@dataclass(frozen=True)
class Choice:
    """The engine of a command line; what it needs is imported when it maps something."""

    name: str = "beam"
    beam: BeamFlags = IN_PROCESS
    master: str = ""  # of Spark

    def map(
        self, work: Work, elements: Sequence[Element], settings: RunSettings
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each element as it finishes; see base.Engine."""
        yield from self.engine(settings).map(work, elements, settings)

    def engine(self, settings: RunSettings) -> Engine:
        """Return the engine. Raises ConfigError if a package that it needs is not installed."""
        if self.name == "spark":
            from cxr_vlp.pipelines.engines.spark_engine import SparkEngine

            return SparkEngine(self.master)
        if self.beam.local:  # the workers import their modules while this process imports Beam
            interrupts.start_server(list(settings.preload))
        from cxr_vlp.pipelines.engines.beam_engine import BeamEngine

        return BeamEngine(self.beam)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose an engine to a stage's parser, as a group of the help."""
    group = parser.add_argument_group(
        "engine", "What gives the work to workers; no output depends on it (docs/scale.md)."
    )
    group.add_argument(
        "--engine", choices=ENGINES, default="beam",
        help="beam (the default, in this process unless --runner says where), or spark",
    )  # fmt: skip
    group.add_argument(
        "--master",
        default="",
        metavar="URL",
        help="with --engine spark: its cluster, spark://HOST:PORT, or local[N] for this machine",
    )
    group.add_argument(
        "--stalled", type=seconds, default=STALLED, metavar="SECONDS",
        help="stop when no worker has begun another study or image for so long "
        f"(default: {STALLED:.0f})",
    )  # fmt: skip
    group.add_argument(
        "--untested-runner",
        action="store_true",
        help="try a runner or a cluster that was never run with this program",
    )


def seconds(text: str) -> float:
    """Return a number of seconds of the command line. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return value


def parse(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    known_flags: Callable[[], Collection[str]],
) -> tuple[argparse.Namespace, Choice]:
    """Return the parsed flags of a command line, and the engine that they choose.

    `known_flags` returns the names of Beam's flags; it is called only if the command does not have
    one of the flags.

    Raises ConfigError for a flag that is unknown to both, and for a runner that was never run with
    this program.
    """
    flags, rest = parser.parse_known_args(arguments)
    if flags.engine == "spark":
        return flags, _spark(flags, rest)
    if flags.master:
        raise ConfigError("--master is the master of Spark: it needs --engine spark")
    if not rest:
        return flags, Choice()
    ours = [name for action in parser._actions for name in action.option_strings]
    values = beam_flags.values_of(rest, known_flags(), ours)
    return flags, Choice(beam=beam_flags.chosen(rest, values, untested=flags.untested_runner))


def _spark(flags: argparse.Namespace, rest: Sequence[str]) -> Choice:
    if rest:
        raise ConfigError(
            f"{beam_flags.shortened(rest[0])!r} is no flag of this command with --engine spark"
        )
    if not flags.master:
        raise ConfigError("--engine spark needs --master, such as spark://HOST:7077")
    beam_flags.warn_of(spark_checks.problem(flags.master), untested=flags.untested_runner)
    return Choice("spark", master=flags.master)
