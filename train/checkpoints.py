"""A running training comes in, files that it can be picked up from go out, and back.

FOLDER/00000120.safetensors and FOLDER/00000120.state are one checkpoint; the state is written
last and commits it, then older ones go. FOLDER/best.safetensors holds the weights with the lowest
validation loss. Every file comes by rename, so a killed run leaves the last whole checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from train.errors import ConfigError

BEST = "best.safetensors"
Row = tuple[int, str, float]  # step, metric, value


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: steps done, what was measured so far, the best validation loss."""

    step: int = 0
    rows: tuple[Row, ...] = ()
    best: float = float("inf")
    best_step: int = 0
    epoch: int = 0  # the next batch's place in the data
    batch: int = 0


def save(folder: Path, run: str, progress: Progress, weights: dict[str, Tensor], rest: Any) -> None:
    """Write a checkpoint of the run named `run` (a digest of all that decides its numbers).

    `rest` is what torch needs besides the weights: optimiser, scaler, random state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{progress.step:08d}"
    save_weights(weights, folder / f"{stem}.safetensors")
    state = {
        "run": run,
        "step": progress.step,
        "rows": [list(row) for row in progress.rows],
        "best": progress.best,
        "best_step": progress.best_step,
        "epoch": progress.epoch,
        "batch": progress.batch,
        "rest": rest,
    }
    _replace(folder / f"{stem}.state", lambda path: torch.save(state, path))
    for old in folder.glob("*"):
        if old.stem not in (stem, Path(BEST).stem):
            old.unlink()


def load(folder: Path, run: str) -> tuple[Progress, dict[str, Tensor], Any] | None:
    """Return (progress, weights, rest) of this run's last checkpoint, None without one.

    A checkpoint of another run (other recipe, shards, seed, ranks) is not this run's: ConfigError.
    """
    states = sorted(folder.glob("*.state"))
    if not states:
        return None
    # weights_only: tensors and plain values; a state file cannot run code.
    state = torch.load(states[-1], map_location="cpu", weights_only=True)
    if state["run"] != run:
        raise ConfigError(
            f"{folder}: a checkpoint of another recipe, seed, set of shards or process count; "
            "train with --no-resume, or into another folder"
        )
    rows = tuple((int(step), str(name), float(value)) for step, name, value in state["rows"])
    progress = Progress(
        state["step"], rows, state["best"], state["best_step"], state["epoch"], state["batch"]
    )
    return progress, load_file(states[-1].with_suffix(".safetensors")), state["rest"]


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    _replace(path, lambda target: save_file(plain, target))


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
