"""One attempt at one element: the child process, faults of data and of machines, the handshake."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import hazards
import pytest
from processes import alive, until

from cxr_vlp.pipelines.engines import attempt, isolation
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.executor.pool import PartPool

BAD = Element("bad")


@pytest.fixture
def settings(tmp_path, monkeypatch) -> RunSettings:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return RunSettings("shards", "mimic", 1, tmp_path, tmp_path / "results", image_timeout=1.0)


def tried(hazard, settings: RunSettings, *, isolated: bool = True) -> dict:
    task = attempt.task(hazards.FiveImages(hazard, isolated), settings)
    return dict(attempt.attempt(task, BAD))


@pytest.mark.parametrize(
    ("hazard", "code"),
    [
        (hazards.none, "ok"),
        (hazards.abort, "decode.crash"),
        (hazards.hang, "decode.timeout"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_image_that_kills_the_child_is_excluded_and_the_rest_is_done(settings, hazard, code):
    result = tried(hazard, settings)["result"]
    assert result.pop("bad-2") == code
    assert set(result.values()) == {"ok"}
    assert len(result) == 4
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_a_child_that_the_system_kills_is_a_fault_of_the_machine(settings):
    with pytest.raises(isolation.LostChildError, match="signal 9"):
        tried(hazards.killed, settings)


@pytest.mark.parametrize("isolated", [True, False])
def test_a_cut_connection_is_raised_so_that_the_engine_tries_again(settings, isolated):
    with pytest.raises(ConnectionResetError):
        tried(hazards.unplugged, settings, isolated=isolated)


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize(
    ("hazard", "fault"),
    [
        (hazards.stop, ["DataError", "source.changed: as expected"]),
        (hazards.full, ["StorageError", "No space left on device (/data/out.tar)"]),
    ],
)
def test_what_another_attempt_meets_too_is_a_value(settings, hazard, fault, isolated):
    assert tried(hazard, settings, isolated=isolated)["fault"] == fault


@pytest.mark.parametrize("isolated", [True, False])
def test_a_bug_is_a_value_without_its_message(settings, isolated, capfd):
    kind, said = tried(hazards.bug, settings, isolated=isolated)["fault"]
    assert (kind, said.split(" at ")[0]) == ("DataError", "internal: KeyError")
    assert "CANARY" not in said + "".join(capfd.readouterr())


def test_where_children_are_impossible_the_element_is_done_in_this_process(settings, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert set(tried(hazards.none, settings)["result"].values()) == {"ok"}


def test_a_worker_of_another_version_does_not_open_the_work(settings):
    task = attempt.task(hazards.FiveImages(), settings)
    versions = {**task.versions, "cxr-vlp": "0.1"}
    other = dataclasses.replace(task, versions=versions, work=b"not a pickle")
    kind, said = attempt.attempt(other, BAD)["fault"]
    assert kind == "EngineError"
    assert "0.1" in said


def test_a_child_that_finds_other_code_on_the_disk_than_its_worker_does_nothing(settings):
    task = attempt.task(hazards.FiveImages(), settings)
    versions = {**task.versions, "code": "edited"}
    kind, said = isolation.outcome(b"not a pickle", BAD, 1.0, None, versions)["fault"]
    assert kind == "EngineError"
    assert "(the run has edited)" in said


def test_a_worker_that_lacks_a_folder_of_the_run_says_so(settings, tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "inventory.json").write_text("{}")
    task = attempt.task(
        hazards.FiveImages(), dataclasses.replace(settings, reads=(str(folder), "s3://b/texts"))
    )
    assert "result" in attempt.attempt(task, BAD)
    (folder / "inventory.json").unlink()  # an empty disk is mounted there, as on another machine
    attempt._check_folder.cache_clear()
    kind, said = attempt.attempt(task, BAD)["fault"]
    assert kind == "EngineError"
    assert "worker.apart" in said
    assert "s3://" in said


SCRIPT = """
import sys
import hazards
from cxr_vlp.pipelines.engines import attempt
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from pathlib import Path

here = Path(sys.argv[1])
settings = RunSettings("shards", "mimic", 1, here, here, image_timeout=60)
attempt.attempt(attempt.task(hazards.FiveImages(hazards.hang), settings), Element("bad"))
"""


def test_a_child_does_not_outlive_its_worker(tmp_path):
    here = Path(__file__).parents[1]
    path = os.pathsep.join((str(here), str(here.parents[1] / ".src")))
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    started = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment)

    def decoding() -> str:
        return "".join(path.read_text().strip() for path in tmp_path.glob("cxr-vlp-*/record"))

    until(decoding)
    child = int(decoding().split()[0])
    started.kill()
    started.wait()
    until(lambda: not alive(child))


@pytest.mark.parametrize("hazard", [hazards.abort, hazards.hang])
def test_a_child_and_the_pool_of_one_machine_reject_the_same(settings, hazard):
    pool = PartPool(1, image_timeout=1.0)
    pooled = list(pool.outcomes({"bad": partial(hazards.FiveImages(hazard), BAD)}))
    assert pooled == [tried(hazard, settings)]
