"""The watch over a run's progress, and requests that nobody answers."""

from __future__ import annotations

import threading

import pytest

from cxr_vlp.pipelines.engines import watch
from cxr_vlp.pipelines.engines.watch import Watch
from cxr_vlp.pipelines.errors import EngineError


def test_a_request_that_is_not_answered_is_left():
    never = threading.Event()
    assert not watch.ask(never.wait, 0.05)  # without a limit it would never return
    never.set()


def test_a_request_that_fails_is_no_error():
    made: list[int] = []

    def refused() -> None:
        made.append(1)
        raise ConnectionRefusedError

    assert watch.ask(refused)
    assert made == [1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The present time, as the only element."""
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def test_a_run_may_wait_as_long_as_stated_and_no_longer(clock):
    found = Watch(10.0, 4, 0, clock[0], clock[0])
    clock[0] += 10.0
    found.check()
    found.progress()
    clock[0] += 10.0
    found.check(["e1"])
    clock[0] += 0.1
    with pytest.raises(EngineError, match=r"1 of 4 done; e1 are begun: .* --stalled"):
        found.check(["e1"])
    with pytest.raises(EngineError, match="whether workers are started and free"):
        found.check()


def test_an_image_that_is_begun_is_progress_and_the_message_counts_from_what_was_finished(clock):
    found = Watch(10.0, 4, 0, clock[0], clock[0])
    clock[0] += 10.0
    found.moved()
    clock[0] += 10.0
    found.check()
    clock[0] += 1.0
    with pytest.raises(EngineError, match="nothing finished for 21 seconds"):
        found.check()
