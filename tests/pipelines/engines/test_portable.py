"""Beam's portable job service and two worker pools, each a process of its own; all really run.

The pools of `apart` have mounts of their own, so that they share no folder with the driver.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading

import hazards
import pools
import pytest
from pools import Services
from processes import until

from cxr_vlp.pipelines.engines import driver, lanes
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.errors import DataError, EngineError

ELEMENTS = [Element(f"e{number}", number) for number in range(6)]
SQUARES = {f"e{number}": number**2 for number in range(6)}


@pytest.fixture
def settings(tmp_path) -> RunSettings:
    return RunSettings("shards", "mimic", 2, tmp_path / "state", tmp_path / "results", stalled=150)


def squares(found: dict) -> dict[str, int]:
    return {name: result["square"] for name, result in found.items()}


def test_nobody_at_the_address_of_the_job_service_ends_in_seconds(settings):
    choice = Services("localhost:1", ("localhost:2",), ()).choice()
    with pytest.raises(
        EngineError, match=r"no job service answers at localhost:1 .*--job_endpoint"
    ):
        driver.run(hazards.Slow(), ELEMENTS, settings, choice)


@pytest.mark.slow
def test_two_pools_share_the_elements(services, settings):
    found = driver.run(hazards.Slow(), ELEMENTS, settings, services.choice())
    assert squares(found) == SQUARES
    assert len({result["seconds"] for result in found.values()}) > 1  # processes


@pytest.mark.slow
def test_a_wrong_address_of_a_pool_ends_with_the_address(services, settings, capfd):
    with pytest.raises(EngineError, match="no worker pool answers at localhost:1"):
        driver.run(hazards.Slow(), ELEMENTS, settings, services.choice("localhost:1"))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_the_elements_of_a_pool_that_is_lost_for_good_are_done_by_the_other(services, settings):
    choice = services.choice(services.pools[0], "localhost:1")
    assert squares(driver.run(hazards.Slow(), ELEMENTS, settings, choice)) == SQUARES


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_part_has_its_elements_done_again(
    services, settings, monkeypatch, capfd
):
    monkeypatch.setattr(lanes, "LOST_AFTER", 8.0)

    def kill() -> None:
        until(lambda: list(settings.results.glob("*.alive")), "nothing was begun")
        for harness in services.harnesses(0):
            os.kill(harness, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    choice = services.choice(services.pools[0])
    found = driver.run(hazards.Slow(2.0), ELEMENTS[:3], settings, choice)
    killer.join()
    assert squares(found) == {name: SQUARES[name] for name in ("e0", "e1", "e2")}
    assert "is silent for" in capfd.readouterr().err


@pytest.mark.slow
def test_a_fault_of_the_data_ends_the_run_with_its_message(services, settings):
    work = hazards.FiveImages(hazards.stop, isolated=False)
    with pytest.raises(DataError, match=r"source\.changed: as expected"):
        driver.run(work, [Element("bad"), Element("good")], settings, services.choice())


@pytest.mark.slow
def test_results_of_a_killed_run_of_the_same_task_are_used(services, settings):
    sure = dataclasses.replace(settings, inputs="digest")
    first = driver.run(hazards.Slow(), ELEMENTS[:4], sure, services.choice())
    again = driver.run(hazards.Slow(), ELEMENTS, sure, services.choice())
    assert squares(again) == SQUARES
    same = [name for name in first if first[name]["seconds"] == again[name]["seconds"]]
    assert same == ["e0", "e1", "e2", "e3"]
    other = dataclasses.replace(settings, inputs="another digest")
    changed = driver.run(hazards.Slow(), ELEMENTS[:1], other, services.choice())
    assert changed["e0"]["seconds"] != again["e0"]["seconds"]


@pytest.mark.slow
def test_pools_that_lack_the_driver_s_disk_put_results_into_a_store(apart, store, settings):
    away = dataclasses.replace(settings, results=store / ".staging/.results")
    found = driver.run(hazards.Slow(), ELEMENTS, away, apart.choice())
    assert squares(found) == SQUARES


@pytest.mark.slow
def test_pools_that_lack_the_driver_s_disk_say_so(apart, settings):
    with pytest.raises(EngineError, match=r"worker\.apart: .* does not see the staging folder"):
        driver.run(hazards.Slow(), ELEMENTS, settings, apart.choice())


@pytest.mark.slow
def test_pools_that_lack_the_raw_tree_say_so(apart, store, settings, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/table.csv").write_text("")
    away = dataclasses.replace(
        settings, results=store / "other/.results", reads=(str(tmp_path / "raw"),)
    )
    with pytest.raises(EngineError, match=r"worker\.apart: .*raw"):
        driver.run(hazards.Slow(), ELEMENTS, away, apart.choice())


@pytest.mark.slow
def test_a_driver_that_was_killed_is_run_again(services, settings, tmp_path):
    """Its workers go on, or are lost; the rerun uses what they have put there."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    flags = services.choice().beam
    command = [sys.executable, str(script), str(tmp_path), flags.endpoint, ",".join(flags.pools)]
    first = subprocess.Popen(command, env=pools.environment())
    until(lambda: list(settings.results.glob("e*.json")), "nothing was finished")
    first.kill()
    first.wait()
    sure = dataclasses.replace(settings, inputs="digest")
    done = {path.stem for path in settings.results.glob("e*.json")}
    found = driver.run(hazards.Slow(1.0), ELEMENTS, sure, services.choice())
    assert squares(found) == SQUARES
    assert done <= set(found)


DRIVER = """
import sys
from pathlib import Path

import hazards
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.flags import Choice

here, endpoint, pools = Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3].split(","))
flags = (
    f"--job_endpoint={endpoint}", "--environment_type=EXTERNAL", "--runner=PortableRunner",
)
choice = Choice(beam=BeamFlags(flags, "PortableRunner", endpoint, pools))
settings = RunSettings(
    "shards", "mimic", 2, here / "state", here / "results", stalled=150, inputs="digest"
)
elements = [Element(f"e{number}", number) for number in range(6)]
driver.run(hazards.Slow(1.0), elements, settings, choice)
"""
