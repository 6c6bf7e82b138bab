"""Every element answers exactly once, whatever an engine does with it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hazards
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.errors import DataError, EngineError, StorageError

NAMES = ("a", "b", "c", "d")
FULL = ["StorageError", "disk full"]


@dataclass
class Scripted:
    """An engine that yields what a test says, and notes whether it was ended."""

    outcomes: list[dict[str, Any]]
    name: str = "scripted"
    left: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    def map(self, work: Any, elements: Any, settings: Any) -> Iterator[dict[str, Any]]:
        self.left = list(self.outcomes)
        try:
            while self.left:
                yield self.left.pop(0)
        finally:
            self.ended = True


def made(name: str, **result: Any) -> dict[str, Any]:
    return {"name": name, "result": {"sha256": f"of {name}", **result}}


def faulty(name: str, fault: list[str]) -> dict[str, Any]:
    return {"name": name, "fault": fault}


@pytest.fixture
def settings(tmp_path) -> RunSettings:
    return RunSettings("shards", "mimic", 1, tmp_path, tmp_path / "results")


def run(outcomes: list[dict[str, Any]], settings: RunSettings) -> dict[str, Any]:
    elements = [Element(name) for name in NAMES]
    return driver.run(hazards.FiveImages(), elements, settings, Scripted(outcomes))


def test_results_come_in_the_order_of_the_elements_with_a_line_each_in_the_log(settings):
    found = run([made(name) for name in "cadb"], settings)
    assert list(found) == list(NAMES)
    lines = settings.log.read_text().splitlines()
    assert [line.split()[1] for line in lines] == list("cadb")


def test_nothing_is_started_without_elements(settings):
    assert driver.run(hazards.FiveImages(), [], settings, None) == {}
    assert not settings.log.exists()


def test_a_lost_element_stops_the_run(settings):
    with pytest.raises(EngineError, match=r"runner\.lost: 2 of 4"):
        run([made("a"), made("d")], settings)


def test_an_element_that_was_tried_twice_counts_once(settings):
    again = made("b", seconds=2, how="kept", decoded=0)
    found = run([*map(made, NAMES), again], settings)
    assert len(found) == 4
    assert settings.log.read_text().count("\n") == 4


def test_what_attempts_may_differ_in_is_what_the_work_says(settings):
    """`seconds` is spent for FiveImages, and a result for SlowImages."""
    elements, outcomes = [Element("a")], [made("a", seconds=1), made("a", seconds=2)]
    driver.run(hazards.FiveImages(), elements, settings, Scripted(outcomes))
    with pytest.raises(EngineError, match=r"runner\.differs"):
        driver.run(hazards.SlowImages(0, 1), elements, settings, Scripted(outcomes))


def test_two_attempts_that_differ_stop_the_run(settings):
    with pytest.raises(EngineError, match=r"runner\.differs: two attempts at b"):
        run([made("a"), made("b"), made("b", sha256="other")], settings)


def test_an_element_of_another_run_stops_the_run(settings):
    with pytest.raises(EngineError, match="another run"):
        run([made("e")], settings)


def test_two_elements_of_one_name_are_a_bug(settings):
    with pytest.raises(DataError, match="internal"):
        driver.run(hazards.FiveImages(), [Element("a"), Element("a")], settings, Scripted([]))


def test_a_fault_of_a_first_attempt_does_not_outlive_a_good_second_one(settings):
    outcomes = [faulty("d", FULL), made("d"), *map(made, "abc")]
    assert len(run(outcomes, settings)) == 4
    assert len(run([*map(made, NAMES), faulty("d", FULL)], settings)) == 4


def test_a_fault_ends_the_run_when_no_smaller_name_can_have_one(settings):
    engine = Scripted([made("a"), faulty("c", FULL), made("b"), made("d")])
    with pytest.raises(StorageError, match="disk full"):
        driver.run(hazards.FiveImages(), [Element(n) for n in NAMES], settings, engine)
    assert engine.ended
    assert engine.left == [made("d")]


def test_an_engine_ends_with_the_run_that_fails(settings):
    engine = Scripted([made(name) for name in NAMES])
    found = driver.results(hazards.FiveImages(), [Element(n) for n in NAMES], settings, engine)
    next(found)
    found.close()
    assert engine.ended


@given(st.randoms(use_true_random=False), st.sets(st.sampled_from(NAMES), min_size=1))
def test_the_fault_that_ends_a_run_does_not_depend_on_the_order(tmp_path_factory, chance, bad):
    folder = tmp_path_factory.getbasetemp()
    settings = RunSettings("shards", "mimic", 1, folder, folder / "results")
    outcomes = [faulty(n, ["DataError", f"in {n}"]) if n in bad else made(n) for n in NAMES]
    chance.shuffle(outcomes)
    assert isinstance(chance, random.Random)
    with pytest.raises(DataError, match=f"in {min(bad)}$"):
        run(outcomes, settings)
