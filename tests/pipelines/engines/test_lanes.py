"""Worker pools that fail in every order, played by jobs without a runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hazards
import pytest
from processes import until

from cxr_vlp.pipelines.engines import isolation, lanes, results_place
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.engines.lanes import Lanes
from cxr_vlp.pipelines.engines.results_place import ResultsPlace
from cxr_vlp.pipelines.errors import EngineError

ELEMENTS = [Element(f"e{number}") for number in range(7)]
Act = Callable[["Played"], bool]


@dataclass
class Played:
    """A job that acts at each look at it; it ends when `act` returns False."""

    place: ResultsPlace
    elements: Sequence[Element]
    act: Act
    why: str = ""
    cancelled: bool = False
    looks: int = field(default=0)

    def running(self) -> bool:
        self.looks += 1
        return self.act(self)

    def reason(self) -> str:
        return self.why

    def cancel(self) -> None:
        self.cancelled = True

    def put(self, *elements: Element) -> None:
        for element in elements:
            self.place.put({"name": element.name, "result": {}})


def works(job: Played) -> bool:
    job.put(*job.elements)
    return False


def hangs(job: Played) -> bool:
    return True


def begins_and_hangs(job: Played) -> bool:
    (job.place.folder / f"{job.elements[0].name}.alive").write_text("host 1 0")
    return True


def fails(job: Played) -> bool:
    job.why = "no worker pool answers at h:1"
    return False


def does_one_and_fails(job: Played) -> bool:
    job.put(job.elements[0])
    return fails(job)


def ends_without_results(job: Played) -> bool:
    return False


@pytest.fixture
def place(tmp_path, monkeypatch) -> ResultsPlace:
    monkeypatch.setattr(lanes, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(lanes, "LOST_AFTER", 0.2)
    found = ResultsPlace(tmp_path / "results", "task")
    found.open(reuse=False)
    return found


def run(place: ResultsPlace, *acts: Act, stalled: float = 0.5, pools: int = 1) -> list[str]:
    """Return the names that came; the jobs act in the order of `acts`, then as the last."""
    jobs: list[Played] = []

    def submit(pool: str, elements: Sequence[Element]) -> Played:
        jobs.append(Played(place, elements, acts[min(len(jobs), len(acts) - 1)]))
        return jobs[-1]

    names = [f"h:{number}" for number in range(pools)]
    run_of = Lanes.of(names, ELEMENTS, place, submit, stalled, len(ELEMENTS))
    return [outcome["name"] for outcome in run_of.outcomes()]


ALL = [element.name for element in ELEMENTS]


@pytest.mark.parametrize("pools", [1, 2, 3])
@pytest.mark.parametrize(
    "acts",
    [
        (works,),
        (fails, works),
        (fails, fails, works),
        (begins_and_hangs, works),
        (does_one_and_fails,) * 6 + (works,),
        (hangs, works),
    ],
    ids=lambda acts: "-".join(act.__name__ for act in acts[:2]),
)
def test_every_element_comes_once_though_jobs_fail(place, acts, pools):
    assert sorted(run(place, *acts, pools=pools, stalled=1.0)) == ALL


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (fails, r"no workers are left \(no worker pool answers at h:1\)"),
        (ends_without_results, "no result came: its workers may not write to the disk of --out"),
        (hangs, "no worker has begun anything|no workers are left .*has begun nothing"),
        (begins_and_hangs, "e0 was begun 3 times and never done .*out of memory|e0 are begun"),
    ],
)
def test_a_run_whose_jobs_all_fail_ends_with_the_reason(place, act, said):
    with pytest.raises(EngineError, match=said):
        run(place, act)


def test_what_a_worker_that_was_given_up_did_after_all_is_not_awaited_again(place):
    def late(job: Played) -> bool:  # the first two were done, before anybody looked
        job.put(*ELEMENTS[:2])
        return works(job)

    assert sorted(run(place, fails, late)) == ALL


def test_a_result_of_an_element_that_this_run_does_not_want_is_no_result(place):
    """A worker of a killed run of the same task goes on with parts that the driver keeps now."""
    place.put({"name": "kept now", "result": {}})
    assert sorted(run(place, hangs, works, stalled=1.0)) == ALL


def test_results_of_another_task_are_not_used(place):
    other = ResultsPlace(place.folder, "other")
    other.put({"name": "e0", "result": {}})
    assert place.open(reuse=True) == []
    assert not list(place.folder.glob("*.json"))


@pytest.mark.parametrize(("reuse", "wanted"), [(True, ["e1"]), (False, [])])
def test_results_of_a_killed_run_are_used_and_its_faults_are_not(place, reuse, wanted):
    place.put({"name": "e1", "result": {"x": 1}})
    place.put({"name": "e2", "fault": ["StorageError", "disk full"]})
    (place.folder / "e3.json").write_text("{")
    assert [outcome["name"] for outcome in place.open(reuse=reuse)] == wanted


def test_a_worker_of_a_run_that_was_replaced_stops(place):
    place.check()
    ResultsPlace(place.folder, "the next task").open(reuse=False)
    with pytest.raises(EngineError, match=r"worker\.late"):
        place.check()


def test_a_worker_shows_signs_of_life_while_it_works(place, monkeypatch):
    assert results_place.BEAT < lanes.LOST_AFTER * 60
    with place.alive("e1", 0.01):
        first = place.beats({"e1"})
        while place.beats({"e1"}) in (first, {}):
            pass
    assert list(place.beats({"e1"})) == ["e1"]
    place.forget("e1")
    assert place.beats({"e1"}) == {}
    monkeypatch.undo()


def test_signs_of_life_have_the_steps_of_the_worker(place):
    work = hazards.SlowImages(0.0, 3, images_are_copied=True)
    with place.alive("e1", 0.01):
        until(lambda: place.beats({"e1"}), "nothing was shown")
        before = results_place.steps(place.beats({"e1"}))
        isolation.here(work, Element("e1"))
        until(lambda: results_place.steps(place.beats({"e1"})) != before, "no step was seen")
    after = results_place.steps(place.beats({"e1"}))
    assert int(after["e1"]) == int(before["e1"]) + 3
    assert place.beats({"e2"}) == {}


def test_a_worker_that_does_not_see_the_folder_of_the_run_writes_nothing(tmp_path, monkeypatch):
    place = ResultsPlace(tmp_path / "results", "task")
    with place.alive("e1", 0.01):
        time.sleep(0.1)
    assert not place.folder.exists()
    ResultsPlace(place.folder, "the next task").open(reuse=False)
    with place.alive("e1", 0.01):
        time.sleep(0.1)
    assert place.beats({"e1"}) == {}
