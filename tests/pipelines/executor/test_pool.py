"""Workers that die, hang or fail: the outcome for the image, the part and the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hazards
import pytest

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor import late_worker, pool
from cxr_vlp.pipelines.executor.pool import PartPool

PARTS = ("bad", "good", "fine")


def run(folder: Path, hazard, workers: int = 2) -> dict[str, dict[str, str]]:
    PartPool(hazards.FiveImages(hazard), str(folder), workers, image_timeout=1.5).run(PARTS)
    return dict(zip(PARTS, pool.read_results(folder, PARTS), strict=True))


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
def test_an_image_that_kills_its_worker_is_excluded_and_the_rest_is_done(tmp_path, hazard, code):
    done = run(tmp_path, hazard)
    assert done["bad"].pop("bad-2") == code
    assert {state for part in done.values() for state in part.values()} == {"ok"}
    assert sum(len(part) for part in done.values()) == 14
    assert not list(tmp_path.glob("*.note"))


def test_a_worker_that_the_system_kills_ends_the_run(tmp_path):
    with pytest.raises(DataError, match=r"worker\.killed.*signal 9.*fewer --workers"):
        run(tmp_path, hazards.killed)


def test_a_stop_in_a_worker_ends_the_run_with_its_message(tmp_path):
    with pytest.raises(DataError, match=r"source\.changed: as expected"):
        run(tmp_path, hazards.stop)


def test_a_bug_is_reported_with_its_line_and_without_its_message(tmp_path, capfd):
    with pytest.raises(DataError, match=r"internal: KeyError at hazards\.py line \d+, part bad"):
        run(tmp_path, hazards.bug)
    assert "CANARY" not in "".join(capfd.readouterr())


def test_workers_do_not_outlive_a_killed_run(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import hazards\n"
        "from cxr_vlp.pipelines.executor.pool import PartPool\n"
        "if __name__ == '__main__':\n"
        "    PartPool(hazards.FiveImages(hazards.hang), sys.argv[2], 2).run(('bad', 'good'))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    here = Path(__file__).parents[1]
    command = [sys.executable, str(script), str(here), str(tmp_path)]
    started = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(here.parents[1] / ".src")}
    )
    note = tmp_path / "bad.note"
    _until(lambda: note.exists() and note.read_text().strip())
    worker = int(note.read_text().split()[0])
    started.send_signal(signal.SIGKILL)
    started.wait()
    _until(lambda: not _alive(worker))


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


def _until(true, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
