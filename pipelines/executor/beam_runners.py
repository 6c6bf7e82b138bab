"""Flags that are not ours in, those for Beam out: known ones only, for runners that were run.

Beam ignores a flag that it does not know, so a misspelt one would change nothing and say nothing.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cxr_vlp.pipelines.errors import ConfigError

LOCAL = "FnApiRunner"
TRIED = ("FnApiRunner", "PortableRunner")  # the second with --environment_type=LOOPBACK
DROPS = {"DaskRunner": "it drops data silently (measured)"}
WANTS = {
    "FlinkRunner": "it wants a job server, a jar from the network",
    "SparkRunner": "it wants a job server, a jar from the network",
    "PrismRunner": "it wants a Go binary from the network",
    "DataflowRunner": "it wants Google's cloud, and sends the data there",
}
# the default runner of Beam looks for a Go binary on the network first: this is what it ends in
ALIASES = {"DirectRunner": LOCAL, "SwitchingDirectRunner": LOCAL}


@dataclass(frozen=True)
class BeamFlags:
    """Checked flags for Beam, and the runner they choose."""

    flags: tuple[str, ...] = ()
    runner: str = LOCAL

    @property
    def local(self) -> bool:
        """Tell whether the pipeline runs in this process."""
        return self.runner == LOCAL


HERE = BeamFlags()  # in this process


def checked(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, BeamFlags]:
    """Parse a command line: our flags, and the rest for Beam.

    Raises ConfigError for a flag that neither knows, and for a runner that was not run.
    """
    flags, rest = parser.parse_known_args(arguments)
    if not rest:
        return flags, HERE
    # here, and not above: Beam takes a second to import, and few need it that early
    from cxr_vlp.pipelines import beam

    ours = [name for action in parser._actions for name in action.option_strings]
    values = _values(rest, beam.known_flags(), ours)
    return flags, _chosen(rest, values, untested=flags.untested_runner)


def _values(rest: Sequence[str], beams: Collection[str], ours: Sequence[str]) -> dict[str, str]:
    """Return flag -> value of Beam's flags; the last one counts, as it does in Beam."""
    found: dict[str, str] = {}
    last = ""
    for word in rest:
        name, has_value, value = word.partition("=")
        if not word.startswith("-"):
            if not last or found[last]:
                raise ConfigError(f"unknown argument {_shown(word)!r}: see --help")
            found[last] = word
            continue
        # --dry_run is Beam's, and somebody who wrote it meant ours
        twin = name.replace("_", "-") in ours
        if name not in beams or twin:
            near = _nearest(name, ours, 0.8) or _nearest(name, beams, 0.7)
            near = near or _nearest(name, ours, 0.6)
            hint = f": did you mean {near}?" if near else ": see --help"
            raise ConfigError(f"no flag of ours, or for Beam, is {_shown(name)}{hint}")
        last, found[name] = ("" if has_value else name), value
    return found


def _nearest(name: str, known: Collection[str], least: float) -> str:
    return next(iter(difflib.get_close_matches(name, known, 1, least)), "")


def _shown(word: str) -> str:
    return word if len(word) <= 40 else word[:40] + "..."  # what is this long was meant otherwise


def _chosen(rest: Sequence[str], values: dict[str, str], *, untested: bool) -> BeamFlags:
    runner = _name(values.get("--runner", LOCAL))
    if runner in DROPS:
        raise ConfigError(f"--runner {runner}: {DROPS[runner]}; leave --runner out")
    problem = _problem(runner, values)
    if problem and not untested:
        raise ConfigError(f"{problem}; leave it out, or add --untested-runner to try it")
    if problem:
        sys.stderr.write(f"warning: {problem}\n")
    return BeamFlags(tuple(_plain(rest, runner)), runner)


def _problem(runner: str, values: dict[str, str]) -> str:
    """Return what is unknown of such a run; "" where it was run."""
    if runner not in TRIED:
        wants = f": {WANTS[runner]}" if runner in WANTS else ""
        return f"--runner {_shown(runner)} has never been run with this program{wants}"
    if runner == "PortableRunner":
        if values.get("--environment_type", "").upper() != "LOOPBACK":
            return "--runner PortableRunner was run with --environment_type=LOOPBACK alone"
        if not values.get("--job_endpoint"):
            raise ConfigError("--runner PortableRunner wants --job_endpoint")
    if values.get("--direct_running_mode") == "multi_processing":
        return "--direct_running_mode=multi_processing hangs when a worker is killed (--workers)"
    return ""


def _name(text: str) -> str:
    """Return a runner's name as Beam would understand it: `flink`, `FLINKRUNNER`, a full path."""
    bare = text.rpartition(".")[2]
    known = (*TRIED, *DROPS, *WANTS, *ALIASES)
    by_name = {name.lower(): name for name in known}
    found = by_name.get(bare.lower()) or by_name.get(f"{bare.lower()}runner") or text
    return ALIASES.get(found, found)


def _plain(rest: Sequence[str], runner: str) -> list[str]:
    """Return the flags without --runner, and then the one that is meant."""
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
