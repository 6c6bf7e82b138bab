"""Checks the flags for Beam on a command line, and which Beam runner they choose.

Beam ignores unknown flags silently, so a misspelt flag would have no effect and give no message.
Runners that were never run with this program are refused, unless --untested-runner is given.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cxr_vlp.pipelines.errors import ConfigError

LOCAL = "FnApiRunner"
TESTED = ("FnApiRunner", "PortableRunner")  # the second with the environments below
ENVIRONMENTS = ("LOOPBACK", "EXTERNAL")  # workers in this process; worker pools that were started
LOSING_DATA = {"DaskRunner": "it drops data silently (measured)"}
REQUIREMENTS = {
    "FlinkRunner": "it needs an image for the workers (Containerfile), and the jar "
    "beam-runners-flink-2.2-job-server, which Beam fetches from Maven Central (or give "
    "--flink_job_server_jar=FILE), Java, and a Flink cluster (--flink_master=HOST:8081)",
    "SparkRunner": "it needs an image for the workers (Containerfile), and the jar "
    "beam-runners-spark-3-job-server, which Beam fetches from Maven Central (or give "
    "--spark_job_server_jar=FILE), and Java; --engine spark needs no image and no jar",
    "PrismRunner": "it needs the Go binary apache_beam-vVERSION-prism, which Beam fetches from "
    "GitHub (or give --prism_location=FILE)",
    "DataflowRunner": "it needs Google's cloud, and sends the data there; it needs the package "
    "apache-beam[gcp], --project, --region, --temp_location=gs://..., and an image for the workers "
    "(Containerfile, --sdk_container_image=IMAGE)",
}
# Beam's default runner first looks for a Go binary on the network, then uses this runner
ALIASES = {"DirectRunner": LOCAL, "SwitchingDirectRunner": LOCAL}


@dataclass(frozen=True)
class BeamFlags:
    """Checked flags for Beam, and the runner that they choose."""

    flags: tuple[str, ...] = ()
    runner: str = LOCAL
    endpoint: str = ""  # HOST:PORT of the job service; "" if there is none
    pools: tuple[str, ...] = ()  # HOST:PORT of the worker pools; () if the runner has its own

    @property
    def local(self) -> bool:
        """Return whether the pipeline runs in this process."""
        return self.runner == LOCAL


IN_PROCESS = BeamFlags()


def values_of(rest: Sequence[str], beams: Collection[str], ours: Sequence[str]) -> dict[str, str]:
    """Return flag -> value of Beam's flags; the last value counts, as in Beam."""
    found: dict[str, str] = {}
    last = ""
    for word in rest:
        name, has_value, value = word.partition("=")
        if not word.startswith("-"):
            if not last or found[last]:
                raise ConfigError(f"unknown argument {shortened(word)!r}: see --help")
            found[last] = word
            continue
        # --dry_run is a flag of Beam, but a user who writes it means --dry-run of this command
        twin = name.replace("_", "-") in ours
        if name not in beams or twin:
            near = _nearest(name, ours, 0.8) or _nearest(name, beams, 0.7)
            near = near or _nearest(name, ours, 0.6)
            hint = f": did you mean {near}?" if near else ": see --help"
            raise ConfigError(f"unknown flag {shortened(name)}{hint}")
        last, found[name] = ("" if has_value else name), value
    return found


def _nearest(name: str, known: Collection[str], least: float) -> str:
    return next(iter(difflib.get_close_matches(name, known, 1, least)), "")


def shortened(word: str) -> str:
    """Return a word of the command line for a message."""
    return word if len(word) <= 40 else word[:40] + "..."


def chosen(rest: Sequence[str], values: dict[str, str], *, untested: bool) -> BeamFlags:
    """Return what Beam's flags choose; `values` is flag -> value of the words `rest`.

    Raises ConfigError for a runner that was never run with this program, unless `untested`.
    """
    runner = _name(values.get("--runner", LOCAL))
    if runner in LOSING_DATA:
        raise ConfigError(f"--runner {runner}: {LOSING_DATA[runner]}; leave --runner out")
    warn_of(_problem(runner, values), untested=untested)
    pools = _pools(values)
    kept = _without(rest, "--runner", *(("--environment_config",) if pools else ()))
    endpoint = values.get("--job_endpoint", "")
    return BeamFlags((*kept, f"--runner={runner}"), runner, endpoint, pools)


def warn_of(problem: str, *, untested: bool) -> None:
    """Raise ConfigError for a run that is untested, or warn of it if the user wants it."""
    if problem and not untested:
        raise ConfigError(f"{problem}; leave it out, or add --untested-runner to try it")
    if problem:
        sys.stderr.write(f"warning: {problem}\n")


def _pools(values: dict[str, str]) -> tuple[str, ...]:
    """Return the addresses of worker pools: with several, each gets jobs of its own."""
    found = values.get("--environment_config", "")
    if values.get("--environment_type", "").upper() != "EXTERNAL" or found.startswith("{"):
        return ()
    pools = tuple(filter(None, (word.strip() for word in found.split(","))))
    if not pools or any(":" not in pool for pool in pools):
        raise ConfigError(
            "--environment_type=EXTERNAL needs --environment_config=HOST:PORT[,HOST:PORT...], the "
            "worker pools (python -m apache_beam.runners.worker.worker_pool_main)"
        )
    return pools


def _problem(runner: str, values: dict[str, str]) -> str:
    """Return why such a run is untested; "" if it was tested."""
    if runner not in TESTED:
        needs = f": {REQUIREMENTS[runner]}" if runner in REQUIREMENTS else ""
        return f"--runner {shortened(runner)} has never been run with this program{needs}"
    if runner == "PortableRunner":
        if values.get("--environment_type", "").upper() not in ENVIRONMENTS:
            return (
                "--runner PortableRunner was only run with --environment_type=LOOPBACK or EXTERNAL"
            )
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


def _without(rest: Sequence[str], *names: str) -> list[str]:
    """Return the flags without those of these names, and without their values."""
    kept, skip = [], False
    for word in rest:
        if skip:
            skip = False
            continue
        if word.partition("=")[0] in names:
            skip = "=" not in word
            continue
        kept.append(word)
    return kept
