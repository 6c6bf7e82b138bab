"""Runners of Beam that were not run: what a message says they fetch is what Beam would fetch."""

from __future__ import annotations

import re

import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions
from apache_beam.runners.portability import flink_runner, prism_runner, spark_runner
from apache_beam.runners.portability.job_server import JavaJarJobServer
from apache_beam.utils.subprocess_server import JavaJarServer

from cxr_vlp.pipelines.engines import beam_engine, beam_flags
from cxr_vlp.pipelines.errors import ConfigError

RUNNERS = sorted(beam_flags.REQUIREMENTS)
KNOWN = beam_engine.known_flags()


def refusal(runner: str, *, untested: bool = False) -> str:
    words = [f"--runner={runner}"]
    values = beam_flags.values_of(words, KNOWN, [])
    try:
        beam_flags.chosen(words, values, untested=untested)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_refusal_says_that_it_was_not_run_and_what_it_needs(runner):
    said = refusal(runner)
    assert said.startswith(f"--runner {runner} has never been run with this program: it needs ")
    assert said.endswith("; leave it out, or add --untested-runner to try it")


@pytest.mark.parametrize("runner", RUNNERS)
def test_who_tries_it_is_warned(runner, capsys):
    assert refusal(runner, untested=True) == ""
    assert "has never been run with this program: it needs" in capsys.readouterr().err


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_flags_that_a_message_names_are_beams(runner):
    named = re.findall(r"--\w+", beam_flags.REQUIREMENTS[runner].replace("--engine", ""))
    assert set(named) <= KNOWN


@pytest.mark.parametrize(
    ("runner", "server"),
    [
        ("FlinkRunner", flink_runner.FlinkJarJobServer),
        ("SparkRunner", spark_runner.SparkJarJobServer),
    ],
)
def test_the_jar_is_the_one_that_beam_asks_for(runner, server, monkeypatch):
    asked = []
    monkeypatch.setattr(
        JavaJarServer, "path_to_maven_jar", lambda artifact, *_, **__: asked.append(artifact)
    )
    server(PipelineOptions([])).path_to_jar()
    assert issubclass(server, JavaJarJobServer)
    assert len(asked) == 1
    assert f"the jar {asked[0]}, which Beam fetches" in beam_flags.REQUIREMENTS[runner]


def test_the_version_of_flink_is_the_one_that_beam_takes_by_itself():
    newest = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS[-1]
    assert f"flink-{newest}-job-server" in beam_flags.REQUIREMENTS["FlinkRunner"]


def test_prisms_binary_is_the_one_that_beam_asks_for():
    made = object.__new__(prism_runner.PrismJobServer)
    made._version = "v2.77.0"
    asked = made.construct_download_url(
        prism_runner.GITHUB_TAG_PREFIX + "v2.77.0", "Linux", "x86_64"
    )
    name = beam_flags.REQUIREMENTS["PrismRunner"].partition("binary ")[2].partition(",")[0]
    assert asked.startswith("https://github.com/")
    assert f"/{name.replace('VERSION', '2.77.0')}-" in asked
