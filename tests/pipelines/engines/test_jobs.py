"""What is said of jobs of Beam runners that cannot start, or that failed."""

from __future__ import annotations

import errno

import pytest

from cxr_vlp.pipelines.engines import beam_engine, jobs
from cxr_vlp.pipelines.errors import DataError, EngineError, StorageError

CANARY = "CANARYWORD"


@pytest.mark.parametrize(
    ("runner", "needed"),
    [
        ("FlinkRunner", "--flink_job_server_jar=FILE"),
        ("SparkRunner", "--spark_job_server_jar=FILE"),
        ("PrismRunner", "--prism_location=FILE"),
        ("DataflowRunner", r"apache-beam\[gcp\]"),
        ("PortableRunner", "--job_endpoint=HOST:PORT"),
        ("mine.OwnRunner", "Without --runner"),
    ],
)
def test_a_runner_that_cannot_start_says_what_it_needs(runner, needed):
    error = jobs.not_started(runner, OSError(errno.ENOENT, CANARY))
    assert error.exit_code == 69
    with pytest.raises(EngineError, match=needed):
        raise error
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ModuleNotFoundError: No module named 'cxr_vlp.nlp'", "a worker cannot import cxr_vlp"),
        ("status = StatusCode.UNAVAILABLE", "no worker pool answers at h:1"),
        (f"KeyError: {CANARY}", "the runner's log says more"),
    ],
)
def test_the_reason_of_a_failed_job_holds_no_words_of_the_runner(said, reason):
    found = jobs.reason(RuntimeError(f"{CANARY} {said} {CANARY}"), "h:1")
    assert reason in found
    assert CANARY not in found


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), "Connection reset"),
        (StorageError("s3://b/...: slow down"), "s3://b/...: slow down"),
        (MemoryError(CANARY), "MemoryError"),
        (DataError("a | and\nlines"), "a | and\nlines"),
    ],
)
def test_what_a_worker_says_of_its_fault_arrives_within_the_message_of_beam(raised, reason):
    with pytest.raises(RuntimeError) as told, beam_engine._told():
        raise raised
    assert told.value.__suppress_context__
    wrapped = RuntimeError(f"Traceback {CANARY}\n{told.value} [while running 'Work']")
    assert jobs.reason(wrapped, "") == reason


def test_a_fault_that_every_worker_meets_is_not_tried_again():
    for said in ("worker.apart: x", "worker.differs: y", "worker.late: z"):
        with pytest.raises(EngineError, match=said):
            jobs.check_lasting(RuntimeError(f"{jobs.MARK}{said}{jobs.MARK}"))
    jobs.check_lasting(RuntimeError(f"{jobs.MARK}Connection reset{jobs.MARK}"))


@pytest.mark.parametrize("endpoint", ["", "embed"])
def test_a_job_service_in_this_process_has_no_address_to_check(endpoint):
    jobs.check_answers(endpoint)
