"""Two processes with half a batch each give the result of one process with the whole batch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from accelerate import Accelerator

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.sections import merge
from cxr_vlp.train.data.batches import Batch
from cxr_vlp.train.data.loader import Loading
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.distributed import gather, world
from cxr_vlp.train.engine.plan import TrainingJob, plan
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.engine.validator import Validator
from cxr_vlp.train.model import build
from tests.train.conftest import write_source

SIZE, STEPS = 8, 3
SMALL: Mapping[str, Any] = {
    "model": {"name": "cxr-tiny-vit", "fusion": {"width": 32, "hidden": 64}},
    "optim": {"name": "sgd", "lr": 0.05},  # adam makes a step of any rounding
    "loss": {"queue": 20},
    "run": {"batch_size": SIZE, "average": 0.5},
}
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "clip": ("chexzero_tiny", {}),
    "clip in chunks": ("chexzero_tiny", {"run": {"chunk": 3}}),
    "momentum and off-diagonal": (
        "mococlip_tiny",
        {"model": {"bias": True}, "loss": {"weights": {"off_diagonal": 1.0, "abnormal": 1.0}}},
    ),
    "two views": ("cxrclip_tiny", {}),
    "fusion": ("offclip_tiny", {}),
}


VALIDATED = ("chexzero_tiny", "carzero_tiny")  # by a cosine, by a fusion


def trained(case: str, rank: int, ranks: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Return the losses and the weights after some steps on this process's part of every batch."""
    name, changes = CASES[case]
    chosen = recipe.load(name, merge(SMALL, changes))
    encoder = build.build(chosen.model, seed=0)
    steps = Steps(chosen, encoder, 0, Accelerator(cpu=True))
    mine = slice(SIZE // ranks * rank, SIZE // ranks * (rank + 1))
    losses = [steps.step(n, [batch(encoder, n, mine)], 0.05) for n in range(STEPS)]
    return losses, {
        **steps.weights(),
        **{f"kept {n}": w for n, w in steps.evaluation_weights().items()},
    }


def batch(encoder: build.DualEncoder, number: int, mine: slice) -> Batch:
    generator = torch.Generator().manual_seed(number)
    texts = [f"{'long ' * (i % 5)}finding {i} of {number}" for i in range(2 * SIZE)]
    tokens = torch.stack([encoder.tokenize(text) for text in texts]).view(2, SIZE, -1)
    images = torch.randint(0, 255, (2, SIZE, 1, 96, 96), generator=generator, dtype=torch.uint8)
    count = len(range(SIZE)[mine])
    return Batch(
        images=images[:, mine],
        tokens=tokens[:, mine],
        normal=(torch.arange(SIZE) % 3 == 0)[mine],
        keys=("k",) * count,
        texts=(("t",) * count,) * 2,
        samples=(Sample(),) * count,
    )


def half(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank))
    for place, case in enumerate(CASES):
        torch.save(trained(case, rank, 2), Path(out) / f"{place}-{rank}.pt")
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_one_process_gathers_nothing():
    features = torch.randn(3, 2)
    assert world() == (0, 1)
    assert gather(features) is features


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    mp.spawn(half, (free_port(), str(tmp_path)), nprocs=2)
    for place, case in enumerate(CASES):
        losses, weights = trained(case, 0, 1)
        for rank in range(2):
            found, theirs = torch.load(tmp_path / f"{place}-{rank}.pt", weights_only=True)
            assert found == pytest.approx(losses, rel=1e-4), case
            assert set(theirs) == set(weights)
            for name, value in weights.items():
                assert torch.allclose(theirs[name], value, atol=2e-5), (case, name)


def validated(source: Path, name: str) -> tuple[dict[str, float], int]:
    """Return what a validation of an untrained model finds, and this process's part of a batch."""
    changes = {"run": {"batch_size": SIZE, "select": "auroc"}, "model": {"name": "cxr-tiny-vit"}}
    chosen = recipe.load(name, changes)
    split = list_shards([source], "validate")
    job = TrainingJob(chosen, 0, list_shards([source], "train"), split, source)
    accelerator, encoder = Accelerator(cpu=True), build.build(chosen.model, seed=0)
    steps = plan(job, accelerator.num_processes)
    loading = Loading(chosen, encoder.size, encoder.tokenize)
    found = Validator(job, loading, steps, accelerator)
    return found.measure(Steps(chosen, encoder, 0, accelerator)), steps.batch_size


def half_of_a_validation(rank: int, port: int, source: str, out: str) -> None:
    torch.set_num_threads(1)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank))
    for name in VALIDATED:
        torch.save(validated(Path(source), name), Path(out) / f"{name}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_validate_as_one_does(tmp_path):
    source = write_source(tmp_path, "mock", {"train": (12, 12), "validate": (30, 11)})
    mp.spawn(half_of_a_validation, (free_port(), str(source), str(tmp_path)), nprocs=2)
    for name in VALIDATED:
        expected, size = validated(source, name)
        assert (set(expected), size) == ({"val_loss", "val_auroc"}, SIZE)
        for rank in range(2):
            found, part = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
            assert part == SIZE // 2
            assert found["val_auroc"] == expected["val_auroc"]
            assert found["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-6)


@pytest.mark.slow
def test_torchrun_trains_and_resumes(tmp_path):
    source = write_source(tmp_path, "mock", {"train": (12, 12), "validate": (6, 6)})
    (tmp_path / "small.yaml").write_text(
        "base: mococlip_tiny\nmodel: {name: cxr-tiny-vit}\nloss: {queue: 20}\n"
        "run: {batch_size: 4, steps: 30, validate_every: 2, shuffle: 4}\n"
    )
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *(f"--master-port={free_port()}", "-m", "cxr_vlp.train.fit", str(tmp_path / "small.yaml")),
        *("--shards", str(source), "--out", str(tmp_path / "out")),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    root = Path(__file__).parents[2]
    environment["PYTHONPATH"] = str(root / ".src")
    place = {"cwd": tmp_path, "env": environment}
    killed = subprocess.Popen(command, **place)  # type: ignore[call-overload]
    while not list((tmp_path / ".cxr/checkpoints").glob("*/*.json")):
        assert killed.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.01)
    ranks = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    for pid in (killed.pid, *map(int, ranks)):  # what started them first, or it tells them to end
        os.kill(pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out").exists()
    done = subprocess.run([*command, "--resume"], **place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "FutureWarning" not in done.stderr
    assert "in earlier runs" in done.stdout
    assert (tmp_path / "out/model.safetensors").is_file()
    assert not list((tmp_path / ".cxr/checkpoints").glob("*/*.json"))
