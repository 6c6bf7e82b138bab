"""The engine `beam` in memory: worker processes of this machine that make no progress."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hazards
import pytest

from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.flags import Choice
from cxr_vlp.pipelines.errors import EngineError
from cxr_vlp.pipelines.executor import pool

ELEMENTS = [Element("bad"), Element("good")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    monkeypatch.setattr(pool, "POLL_INTERVAL", 0.1)
    return RunSettings("shards", "mimic", 2, tmp_path / "state", tmp_path / "results", stalled=3.0)


def test_all_elements_come_back(settings):
    found = driver.run(hazards.FiveImages(), ELEMENTS, settings, Choice())
    assert list(found) == ["bad", "good"]


@pytest.mark.parametrize("hazard", [hazards.paused, hazards.waits])
def test_a_worker_that_stands_still_ends_the_run_in_the_stated_time(settings, hazard, capfd):
    with pytest.raises(
        EngineError,
        match=r"engine\.stalled: nothing finished for \d+ seconds, 1 of 2 done; bad ",
    ):
        driver.run(hazards.FiveImages(hazard), ELEMENTS, settings, Choice())
    assert "Traceback" not in capfd.readouterr().err


def test_the_limit_of_an_image_comes_before_that_of_the_run(settings):
    quick = dataclasses.replace(settings, image_timeout=0.5, stalled=60.0)
    found = driver.run(hazards.FiveImages(hazards.paused), ELEMENTS, quick, Choice())
    assert found["bad"]["bad-2"] == "decode.timeout"
