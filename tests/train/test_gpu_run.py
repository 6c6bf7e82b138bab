"""The GPU benchmark, run here on a CPU with a tiny recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.train.conftest import write_source

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_run.py"


def run(source: Path, out: Path, *flags: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    few = ("--batch", "8", "--warm", "1", "--seconds", "1", "--steps", "5", "--scratch", out.parent)
    command = [sys.executable, SCRIPT, "--shards", source, "--out", out, *few, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, json.loads(out.read_text())


@pytest.mark.slow
def test_a_recipe_that_cannot_run_is_a_row_with_its_error_and_the_others_are_measured(
    source, tmp_path
):
    flags = ("--recipes", "chexzero_tiny", "no_such", "--loaders", source, "--loader-workers", "1")
    more = ("--loader-seconds", "0.1", "--resume", "mococlip_tiny:bf16", "--resume-steps", "6")
    done, found = run(source, tmp_path / "found.json", *flags, *more)
    assert done.returncode == 1
    first, second = found["train"]
    assert first["loss"][0] > 0
    assert first["one_batch_loss"][1] < first["one_batch_loss"][0]  # it does train
    assert first["pairs_s"] > 0
    assert second["error"].startswith("ConfigError")
    assert found["loader"][0]["pairs"] > 0
    (resumed,) = found["resume"]
    assert (resumed["resumed_from"], resumed["cut_after"]) == (3, 4)
    assert resumed["before_the_cut"] == resumed["resumed"] == 0  # bit for bit, on a CPU


@pytest.mark.slow
def test_fewer_images_than_a_batch_are_enough(tmp_path):
    few = write_source(tmp_path, "few", {"train": (12,), "validate": (4,)})
    flags = ("--recipes", "chexzero_tiny", "--batch", "24")
    done, found = run(few, tmp_path / "found.json", *flags)
    assert done.returncode == 0
    assert found["train"][0]["batch"] == 24


@pytest.mark.slow
def test_a_part_that_times_out_leaves_no_process_behind(source, tmp_path):
    # They would hold the pipe, and `run` would never come back from reading it.
    flags = ("--recipes", "--loaders", source, "--loader-workers", "2", "--patience", "12")
    done, found = run(source, tmp_path / "found.json", *flags, "--loader-seconds", "1000")
    assert done.returncode == 1
    assert found["loader"][0]["error"] == "not finished in 12 seconds"
    assert not [line for line in commands() if str(tmp_path) in line]


def commands() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it may have ended since
            yield path.read_text(errors="replace")
