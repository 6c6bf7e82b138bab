"""Workers that die, hang or fail: the outcome for the image, the part and the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import hazards
import pytest
from processes import alive, until

from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.errors import DataError, EngineError
from cxr_vlp.pipelines.executor import late_worker, pool
from cxr_vlp.pipelines.executor.pool import PartPool

PARTS = ("bad", "good", "fine")


def run(hazard, workers: int = 2) -> dict[str, dict]:
    """Return name -> outcome of the parts."""
    calls = {name: partial(hazards.FiveImages(hazard), Element(name)) for name in PARTS}
    outcomes = list(PartPool(workers, image_timeout=1.5).outcomes(calls))
    assert len(outcomes) == len(PARTS)
    return {outcome["name"]: outcome for outcome in outcomes}


@pytest.mark.parametrize(
    ("hazard", "code"),
    [
        (hazards.none, "ok"),
        (hazards.abort, "decode.crash"),
        (hazards.address_zero, "decode.crash"),
        (hazards.hang, "decode.timeout"),
        (hazards.greedy, "no.memory"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_image_that_kills_its_worker_is_excluded_and_the_rest_is_done(hazard, code):
    done = {name: outcome["result"] for name, outcome in run(hazard).items()}
    assert done["bad"].pop("bad-2") == code
    assert {state for part in done.values() for state in part.values()} == {"ok"}
    assert sum(len(part) for part in done.values()) == 14


def test_the_records_of_images_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(hazards.abort)
    assert not list(tmp_path.glob("cxr-vlp-*"))


def test_a_worker_that_the_system_kills_ends_the_run():
    with pytest.raises(DataError, match=r"worker\.killed.*signal 9.*fewer --workers"):
        run(hazards.killed)


def test_a_stop_in_a_worker_is_the_outcome_of_its_part_alone():
    done = run(hazards.stop)
    assert done["bad"]["fault"] == ["DataError", "source.changed: as expected"]
    assert done["good"]["result"]["good-2"] == done["fine"]["result"]["fine-4"] == "ok"


def test_a_run_without_progress_ends_with_what_is_begun(monkeypatch):
    monkeypatch.setattr(pool, "POLL_INTERVAL", 0.1)
    calls = {name: partial(hazards.Slow(60.0), Element(name, 1)) for name in PARTS}
    with pytest.raises(EngineError, match=r"engine\.stalled: .* 0 of 3 done; bad, .*--stalled"):
        list(PartPool(2, stalled=3.0).outcomes(calls))


def test_a_part_that_begins_one_study_after_another_is_progress(monkeypatch):
    monkeypatch.setattr(pool, "POLL_INTERVAL", 0.1)
    calls = {"bad": partial(hazards.SlowImages(0.5, 10, images_are_copied=True), Element("bad"))}
    assert list(PartPool(1, image_timeout=0.2, stalled=3.0).outcomes(calls))


def test_a_part_that_begins_one_image_after_another_is_progress(monkeypatch):
    monkeypatch.setattr(pool, "POLL_INTERVAL", 0.1)
    calls = {"bad": partial(hazards.SlowImages(0.5, 10), Element("bad"))}
    assert list(PartPool(1, stalled=3.0).outcomes(calls))


def test_a_full_disk_is_an_outcome_with_the_system_s_message():
    said = "No space left on device (/data/out.tar)"
    assert run(hazards.full)["bad"]["fault"] == ["StorageError", said]


def test_a_bug_is_reported_with_its_line_and_without_its_message(capfd):
    kind, said = run(hazards.bug)["bad"]["fault"]
    assert kind == "DataError"
    assert re.match(r"internal: KeyError at hazards\.py line \d+, part bad", said)
    assert "CANARY" not in "".join(capfd.readouterr()) + said


def test_workers_have_the_environment_of_the_run_not_of_an_earlier_one(monkeypatch):
    call = partial(os.getenv, "CXR_STORE_TIMEOUT")
    for value in ("7", "8", None):  # the server that forks the workers lives on
        if value is None:
            monkeypatch.delenv("CXR_STORE_TIMEOUT")
        else:
            monkeypatch.setenv("CXR_STORE_TIMEOUT", value)
        assert list(pool.in_order([call, call], 2, [])) == [value, value]


KILLED = """
from functools import partial

import hazards
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.executor.pool import PartPool

if __name__ == "__main__":
    work = partial(hazards.FiveImages(hazards.hang), Element("bad"))
    list(PartPool(2).outcomes({"bad": work}))
"""


def test_workers_do_not_outlive_a_killed_run(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    here = Path(__file__).parents[1]
    path = os.pathsep.join((str(here), str(here.parents[1] / ".src")))
    started = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)},
    )

    def decoding() -> str:
        return "".join(path.read_text().strip() for path in tmp_path.glob("cxr-vlp-*/*"))

    until(decoding)
    worker = int(decoding().split()[0])
    started.send_signal(signal.SIGKILL)
    started.wait()
    until(lambda: not alive(worker))


LATE = """
import _multiprocessing, os, sys
from cxr_vlp.pipelines import interrupts

if __name__ == "__main__":
    context = interrupts.start_server([])
    lock = context.Lock()
    _multiprocessing.sem_unlink(lock._semlock.name)
    late = context.Process(target=print, args=(lock if sys.argv[1] == "late" else 1,))
    if sys.argv[1] == "broken":
        late = context.Process(target=divmod, args=(1, 0))
    late.start()
    late.join()
    os._exit(0)  # at its end Python would unlink the semaphore once more
"""


@pytest.mark.parametrize(
    ("kind", "said"), [("late", ""), ("broken", "ZeroDivisionError"), ("well", "")]
)
def test_a_worker_that_starts_after_its_pool_was_closed_prints_no_traceback(tmp_path, kind, said):
    script = tmp_path / "late.py"
    script.write_text(LATE)
    path = str(Path(__file__).parents[3] / ".src")
    done = subprocess.run(
        [sys.executable, str(script), kind], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert said in done.stderr
    assert said or "Traceback" not in done.stderr


def test_only_a_lost_semaphore_makes_a_worker_late(tmp_path, capfd):
    with pytest.raises(FileNotFoundError) as elsewhere:
        (tmp_path / "none").read_bytes()
    assert not late_worker.is_late(elsewhere.value)
    late_worker._hook(elsewhere.type, elsewhere.value, elsewhere.tb)
    assert "FileNotFoundError" in capfd.readouterr().err
