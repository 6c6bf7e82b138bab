"""The flags of engines on a command line: which engine they choose, and with which Beam runner.

Beam ignores unknown flags silently, so a misspelt flag would have no effect and give no message.
Runners that were never run with this program are refused, unless --untested-runner is given.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.engines import spark_checks
from cxr_vlp.pipelines.engines.base import STALLED, Element, Engine, Outcome, RunSettings, Work
from cxr_vlp.pipelines.errors import ConfigError

LOCAL = "FnApiRunner"
TESTED = ("FnApiRunner", "PortableRunner")  # the second with --environment_type=LOOPBACK
LOSING_DATA = {"DaskRunner": "it drops data silently (measured)"}
REQUIREMENTS = {
    "FlinkRunner": "it needs a job server, a jar from the network",
    "SparkRunner": "it needs a job server, a jar from the network",
    "PrismRunner": "it needs a Go binary from the network",
    "DataflowRunner": "it needs Google's cloud, and sends the data there",
}
# Beam's default runner first looks for a Go binary on the network, then uses this runner
ALIASES = {"DirectRunner": LOCAL, "SwitchingDirectRunner": LOCAL}


@dataclass(frozen=True)
class BeamFlags:
    """Checked flags for Beam, and the runner that they choose."""

    flags: tuple[str, ...] = ()
    runner: str = LOCAL

    @property
    def local(self) -> bool:
        """Return whether the pipeline runs in this process."""
        return self.runner == LOCAL


IN_PROCESS = BeamFlags()
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
    """Add the flags that choose an engine to a stage's parser."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="beam",
        help="what maps the work over the parts (default: beam, in this process)",
    )  # fmt: skip
    parser.add_argument(
        "--master", default="", metavar="URL", help="with --engine spark: spark://HOST:PORT"
    )
    parser.add_argument(
        "--stalled", type=_seconds, default=STALLED, metavar="SECONDS",
        help=f"stop when nothing has finished for so long (default: {STALLED:.0f})",
    )  # fmt: skip
    parser.add_argument(
        "--untested-runner",
        action="store_true",
        help="try a Beam runner that was never run with this program",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
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
    values = _values(rest, known_flags(), ours)
    return flags, Choice(beam=_chosen(rest, values, untested=flags.untested_runner))


def _spark(flags: argparse.Namespace, rest: Sequence[str]) -> Choice:
    if rest:
        raise ConfigError(f"{_shortened(rest[0])!r} is no flag of this command with --engine spark")
    if not flags.master:
        raise ConfigError("--engine spark needs --master, such as spark://HOST:7077")
    _warn_of(spark_checks.problem(flags.master), untested=flags.untested_runner)
    return Choice("spark", master=flags.master)


def _values(rest: Sequence[str], beams: Collection[str], ours: Sequence[str]) -> dict[str, str]:
    """Return flag -> value of Beam's flags; the last value counts, as in Beam."""
    found: dict[str, str] = {}
    last = ""
    for word in rest:
        name, has_value, value = word.partition("=")
        if not word.startswith("-"):
            if not last or found[last]:
                raise ConfigError(f"unknown argument {_shortened(word)!r}: see --help")
            found[last] = word
            continue
        # --dry_run is a flag of Beam, but a user who writes it means --dry-run of this command
        twin = name.replace("_", "-") in ours
        if name not in beams or twin:
            near = _nearest(name, ours, 0.8) or _nearest(name, beams, 0.7)
            near = near or _nearest(name, ours, 0.6)
            hint = f": did you mean {near}?" if near else ": see --help"
            raise ConfigError(f"unknown flag {_shortened(name)}{hint}")
        last, found[name] = ("" if has_value else name), value
    return found


def _nearest(name: str, known: Collection[str], least: float) -> str:
    return next(iter(difflib.get_close_matches(name, known, 1, least)), "")


def _shortened(word: str) -> str:
    return word if len(word) <= 40 else word[:40] + "..."


def _chosen(rest: Sequence[str], values: dict[str, str], *, untested: bool) -> BeamFlags:
    runner = _name(values.get("--runner", LOCAL))
    if runner in LOSING_DATA:
        raise ConfigError(f"--runner {runner}: {LOSING_DATA[runner]}; leave --runner out")
    _warn_of(_problem(runner, values), untested=untested)
    return BeamFlags(tuple(_with_one_runner(rest, runner)), runner)


def _warn_of(problem: str, *, untested: bool) -> None:
    """Raise ConfigError for a run that is untested, or warn of it if the user wants it."""
    if problem and not untested:
        raise ConfigError(f"{problem}; leave it out, or add --untested-runner to try it")
    if problem:
        sys.stderr.write(f"warning: {problem}\n")


def _problem(runner: str, values: dict[str, str]) -> str:
    """Return why such a run is untested; "" if it was tested."""
    if runner not in TESTED:
        needs = f": {REQUIREMENTS[runner]}" if runner in REQUIREMENTS else ""
        return f"--runner {_shortened(runner)} has never been run with this program{needs}"
    if runner == "PortableRunner":
        if values.get("--environment_type", "").upper() != "LOOPBACK":
            return "--runner PortableRunner was only run with --environment_type=LOOPBACK"
        if not values.get("--job_endpoint"):
            raise ConfigError("--runner PortableRunner needs --job_endpoint")
    if values.get("--direct_running_mode") == "multi_processing":
        return "--direct_running_mode=multi_processing hangs when a worker is killed (--workers)"
    return ""


def _name(text: str) -> str:
    """Return the name of a runner in any form that Beam accepts: `flink`, `FLINKRUNNER`, a path."""
    bare = text.rpartition(".")[2]
    known = (*TESTED, *LOSING_DATA, *REQUIREMENTS, *ALIASES)
    by_name = {name.lower(): name for name in known}
    found = by_name.get(bare.lower()) or by_name.get(f"{bare.lower()}runner") or text
    return ALIASES.get(found, found)


def _with_one_runner(rest: Sequence[str], runner: str) -> list[str]:
    """Return the flags with one --runner flag, at the end."""
    kept, skip = [], False
    for word in rest:
        if skip:
            skip = False
            continue
        if word.partition("=")[0] == "--runner":
            skip = "=" not in word
            continue
        kept.append(word)
    return [*kept, f"--runner={runner}"]
