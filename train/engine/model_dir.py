"""A trained model's files come in, a model folder that is there as a whole or not at all goes out.

It is filled beside the output and put in its place by a rename, so a killed run leaves no half
model. Nothing is replaced but what an earlier training wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cxr_vlp.train.errors import ConfigError

# What a training leaves in its folder, and what those of version 0.2 left there.
OURS = frozenset(("model.safetensors", "recipe.json", "dvclive", "batch.html", "checkpoints"))


@contextlib.contextmanager
def placing(out: Path, state: Path) -> Iterator[Path]:
    """Yield an empty folder; `publish` gives it the name `out`. It is gone when the block ends.

    Raises ConfigError where `out` holds what no training wrote, is a mount point, holds the state
    folder, or where another run is training into it; OSError where nothing can be written there.
    """
    out = out.resolve()
    staging = out.with_name(f".{out.name}.staging")
    if out.is_mount():
        raise ConfigError(f"{out} is a mount point: give a folder below it as --out")
    if state.resolve().is_relative_to(out):
        raise ConfigError(f"{out} holds the state folder {state}: give another --out or --state")
    out.parent.mkdir(parents=True, exist_ok=True)
    with held(out.with_name(f".{out.name}.lock"), f"{out}: another run is training into it"):
        _recover(out)
        refuse_others(out)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def refuse_others(out: Path) -> None:
    """Raise ConfigError where a folder holds a file that no training wrote: it would be lost."""
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    others = [name for name in found if name not in OURS]
    if others:
        raise ConfigError(
            f"{out} holds {others[0]}, which no training wrote: choose another --out, or move it"
        )


def publish(staging: Path, out: Path) -> None:
    """Give the staging folder the output's name; what a training left there before goes."""
    out = out.resolve()
    for path in staging.rglob("*"):
        _sync(path)
    _sync(staging)
    refuse_others(out)  # what was put there while the training ran
    old = _aside(out)
    if out.exists():
        out.rename(old)
    staging.rename(out)
    _sync(out.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def held(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file for the block. Raises ConfigError where another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{message}: wait for its end") from None
        yield


def _recover(out: Path) -> None:
    """Put the old model back where a run was killed between the two renames."""
    old = _aside(out)
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that does not know how
            os.fsync(handle)
    finally:
        os.close(handle)
