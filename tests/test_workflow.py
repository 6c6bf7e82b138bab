"""The whole pipeline under DVC, on a small tree, in a checkout of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import checkouts
import pytest
import yaml
from checkouts import environment, run

from cxr_vlp.pipelines.synthetic.layouts import mimic


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files, one collection of 24 studies, and a training of six steps."""
    only = {"collections": ["mimic"]}
    folder = checkouts.make(tmp_path_factory.mktemp("checkout"), lambda params: params.update(only))
    tree = folder / "data" / "synthetic"
    mimic.write(tree, studies=24, seed=1, height=160)
    for path in tree.rglob("*"):
        os.utime(path, (1_600_000_000,) * 2)  # a file that is seconds old is read again
    return folder


@pytest.fixture(scope="module")
def reproduced(checkout: Path) -> Path:
    run(checkout, "env", "CXR_WORKERS=2", "dvc", "repro", "report")  # as `make demo` does
    return checkout


def test_the_workflow_writes_the_page_and_the_metrics(reproduced):
    site = reproduced / "reports" / "site"
    for page in site.glob("*.html"):
        loaded = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"'#]+)""", page.read_text())
        # nothing is fetched from anywhere
        assert all((site / name).is_file() for name in loaded), page.name
    assert "<svg" in (site / "index.html").read_text()
    metrics = json.loads(run(reproduced, "dvc", "metrics", "show", "--json"))
    files = metrics[""]["data"]
    assert 0 <= files["reports/evaluate/cxrclip_tiny/summary.json"]["data"]["macro_auroc"] <= 1
    assert "models/cxrclip_tiny/metrics/metrics.json" in files
    assert "index.html" in run(reproduced, "dvc", "plots", "show", "-o", "plots")


def test_a_second_repro_rebuilds_nothing(reproduced):
    said = run(reproduced, "dvc", "repro", "report")
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'scan@mimic':"
    ]
    assert "unchanged" in said


def shards_log(checkout: Path) -> list[str]:
    """Return what the last run of `shards` did with each of its seven parts."""
    lines = (checkout / ".cxr/logs/shards-mimic.log").read_text().splitlines()[-7:]
    return [line.split(maxsplit=2)[2] for line in lines]


@pytest.mark.slow
def test_one_changed_report_rewrites_one_tar_and_decodes_nothing(reproduced):
    report = sorted((reproduced / "data/synthetic/mimic").rglob("s5*.txt"))[0]
    before = report.read_text()
    report.write_text(before + "\n There is a small left pleural effusion.\n")
    tars = (reproduced / "data/shards/mimic").glob("*/*.tar")
    inodes = {path: path.stat().st_ino for path in tars}
    run(reproduced, "dvc", "repro", "shards@mimic")
    # hard links of DVC's cache: neither this program nor DVC has copied a kept tar
    assert sum(path.stat().st_ino == inode for path, inode in inodes.items()) == len(inodes) - 1
    did = shards_log(reproduced)
    # DVC took the old output away before the stage ran: the tars came out of its cache
    assert sum(line.startswith("kept") for line in did) == 6
    assert sum(line.startswith("rewritten decoded=0") for line in did) == 1
    report.write_text(before)
    said = run(reproduced, "dvc", "repro", "shards@mimic")
    assert "Stage 'shards@mimic' is cached - skipping run" in said


@pytest.mark.slow
def test_parameters_set_back_build_nothing(reproduced):
    path = reproduced / "params.yaml"
    before = path.read_text()
    params = yaml.safe_load(before)
    params["shards"]["quality"] = 70
    path.write_text(yaml.safe_dump(params))
    run(reproduced, "dvc", "repro", "shards@mimic")
    assert not any(line.startswith("kept") for line in shards_log(reproduced))
    path.write_text(before)
    said = run(reproduced, "dvc", "repro", "shards@mimic")
    assert "Stage 'shards@mimic' is cached - skipping run" in said


@pytest.mark.slow
def test_a_killed_training_resumes_after_dvc_deleted_its_output(reproduced):
    path = reproduced / "params.yaml"
    before = path.read_text()
    params = yaml.safe_load(before)
    params["train"]["overrides"]["run"] |= {"steps": 40, "validate_every": 2}
    path.write_text(yaml.safe_dump(params))
    command = ["dvc", "repro", "--single-item", "train@cxrclip_tiny"]
    running = subprocess.Popen(command, cwd=reproduced, env=environment(reproduced))
    while not list((reproduced / ".cxr/checkpoints").glob("*/*.json")):
        assert running.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.01)
    killed = [pid for pid in below(running.pid) if "cxr-vlp fit" in command_of(pid)]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert running.wait() != 0
    assert not (reproduced / "models/cxrclip_tiny/model.safetensors").exists()
    assert "in earlier runs" in run(reproduced, *command)
    path.write_text(before)


def below(pid: int) -> list[int]:
    """Return the processes below one, children before their own."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in listed for child in path.read_text().split()]
    return [each for child in children for each in (child, *below(child))]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_a_comment_in_the_code_rebuilds_nothing(reproduced):
    path = reproduced / "pipelines/imaging/encode.py"
    path.write_text(path.read_text() + "# a remark\n")
    said = run(reproduced, "dvc", "status")
    assert "shards@mimic" not in said
    assert "texts@mimic" not in said


def test_a_raised_version_rebuilds_its_stage(reproduced):
    path = reproduced / "pipelines/format/versions.py"
    path.write_text(path.read_text().replace("PIXELS = ", "PIXELS = 1"))
    said = run(reproduced, "dvc", "status")
    assert "shards@mimic" in said
    assert "texts@mimic" not in said
