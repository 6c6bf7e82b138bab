"""Writes and reads the checkpoints of a running training.

FOLDER/00000120.safetensors and FOLDER/00000120.state are one checkpoint. FOLDER/best-00000100 holds
the weights with the lowest validation loss so far. FOLDER/00000120.json is written last and makes
the checkpoint valid: it holds the run's digest and the digest of each file. Then older checkpoints
are removed. Every file is written by rename, so a killed run leaves the last complete checkpoint. A
file that does not match its digest is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Row = tuple[int, str, float]  # step, metric, value
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a training: steps done, metrics so far, the best validation value.

    `best` is the loss or the AUROC by which the recipe selects; `inf` before the first validation.
    """

    step: int = 0
    rows: tuple[Row, ...] = ()
    best: float = float("inf")
    best_step: int = 0
    epoch: int = 0  # the position of the next batch in the data
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a training resumes from; `rest` is what `save` got besides the weights."""

    progress: Progress
    weights: dict[str, Tensor]
    rest: Any


def folder(state: Path, run: str) -> Path:
    """Return the folder of a run's checkpoints: below the state folder, named by the run's digest.

    It is not in the output, because DVC deletes an output before it runs the stage.
    """
    return state / "checkpoints" / run


def save(place: Path, run: str, progress: Progress, weights: Weights, rest: Any) -> None:
    """Write a checkpoint of the run `run` (the digest of everything that decides its numbers).

    `rest` is what the training needs besides the weights: optimiser, scaler, average, positions of
    the ranks. The best weights of `progress.best_step` have been saved before, by `save_best`.
    """
    stem = f"{progress.step:08d}"
    save_weights(weights, place / f"{stem}.safetensors")
    state = {
        "step": progress.step,
        "rows": [list(row) for row in progress.rows],
        "best": progress.best,
        "best_step": progress.best_step,
        "epoch": progress.epoch,
        "batch": progress.batch,
        "rest": rest,
    }
    _replace(place / f"{stem}.state", lambda path: torch.save(state, path))
    names = (f"{stem}.safetensors", f"{stem}.state", best(place, progress.best_step).name)
    record = {"run": run, "sha256": {name: _sha256(place / name) for name in names}}
    text = json.dumps(record, indent=2) + "\n"
    _replace(place / f"{stem}.json", lambda path: path.write_text(text, encoding="utf-8"))
    for old in place.iterdir():
        if old.name not in (*names, f"{stem}.json") and not old.is_dir():
            old.unlink()


def save_best(place: Path, step: int, weights: Weights) -> None:
    """Write the best weights so far."""
    save_weights(weights, best(place, step))


def best(place: Path, step: int) -> Path:
    """Return the file of the best weights, found at a step."""
    return place / f"best-{step:08d}.safetensors"


def load(place: Path, run: str) -> Checkpoint | None:
    """Return this run's last complete checkpoint, or None.

    A checkpoint of another run is not used, nor one with a file that is missing or does not match
    its digest: the training then starts over.
    """
    for record in sorted(place.glob("*.json"), reverse=True):
        if _is_whole(record, run):
            # weights_only: tensors and plain values; a state file cannot run code.
            state = torch.load(record.with_suffix(".state"), map_location="cpu", weights_only=True)
            rows = tuple((int(step), str(n), float(value)) for step, n, value in state["rows"])
            at = (state[name] for name in ("best", "best_step", "epoch", "batch"))
            progress = Progress(state["step"], rows, *at)
            return Checkpoint(
                progress, load_file(record.with_suffix(".safetensors")), state["rest"]
            )
    return None


def others(place: Path) -> tuple[int, int]:
    """Return the number of other runs with checkpoints beside this folder, and their bytes."""
    parent = place.parent
    found = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    beside = [path for path in found if path != place and any(path.glob("*.json"))]
    files = (file for path in beside for file in path.rglob("*") if file.is_file())
    return len(beside), sum(file.stat().st_size for file in files)


def drop(place: Path) -> None:
    """Remove a run's checkpoints: after its model is published, or before it starts over."""
    shutil.rmtree(place, ignore_errors=True)


def save_weights(weights: Weights, path: Path) -> None:
    """Write a state dict as safetensors."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    _replace(path, lambda target: save_file(plain, target))


def _is_whole(record: Path, run: str) -> bool:
    try:
        written = json.loads(record.read_text(encoding="utf-8"))
        digests = dict(written["sha256"])
        names = {record.with_suffix(kind).name for kind in (".safetensors", ".state")}
        return (
            written["run"] == run
            and names < set(digests)
            and all(_sha256(record.with_name(n)) == digest for n, digest in digests.items())
        )
    except (ValueError, KeyError, TypeError, FileNotFoundError):  # not what `save` writes
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
