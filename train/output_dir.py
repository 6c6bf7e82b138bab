"""Publishes the folder of a model, an evaluation or a site as a whole, by one rename.

The files are written to a staging folder beside the output, so a killed run leaves no incomplete
folder. Only the files of an earlier run of the same command are replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.train.errors import ConfigError

# The files of a training, and those of earlier versions: checkpoints (0.2), dvclive (0.2, 0.3).
OURS = frozenset(
    ("model.safetensors", "recipe.json", "metrics", "batch.html", "checkpoints", "dvclive")
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a command writes: the names of its files, and the word for it in messages.

    record: where the names differ from run to run, the file in the folder that lists them.
    """

    files: frozenset[str]
    word: str
    record: str = ""


TRAINING = Kind(OURS, "training")


@contextlib.contextmanager
def staged(out: Path, state: Path | None, kind: Kind = TRAINING) -> Iterator[Path]:
    """Yield an empty staging folder, which `publish` renames to `out`; it is removed at the end.

    kind: what the command writes. Raises ConfigError where `out` holds a file of something else, is
    a file or a mount point, holds the state folder, or is in use by another run; OSError where
    nothing can be written there.
    """
    out = out.resolve()
    staging = out.with_name(f".{out.name}.staging")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder as --out")
    if out.is_mount():
        raise ConfigError(f"{out} is a mount point: give a folder below it as --out")
    if state is not None and state.resolve().is_relative_to(out):
        raise ConfigError(f"{out} holds the state folder {state}: give another --out or --state")
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_name(f".{out.name}.lock"), f"{out}: another run is writing it"):
        _recover(out)
        refuse_others(out, kind)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def refuse_others(out: Path, kind: Kind = TRAINING) -> None:
    """Raise ConfigError where a folder holds a file of something else; it would be lost."""
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    known = kind.files | _recorded(out, kind)
    others = [name for name in found if name not in known]
    if others:
        raise ConfigError(
            f"{out} holds {others[0]}, which no {kind.word} wrote: choose another --out, or move it"
        )


def publish(staging: Path, out: Path, kind: Kind = TRAINING) -> None:
    """Rename the staging folder to the output; an earlier output is removed."""
    out = out.resolve()
    if kind.record:
        names = sorted((kind.record, *(path.name for path in staging.iterdir())))
        (staging / kind.record).write_text(json.dumps(names) + "\n", encoding="utf-8")
    for path in staging.rglob("*"):
        _sync(path)
    _sync(staging)
    refuse_others(out, kind)  # again: a file may have been put there during the training
    old = _old(out)
    if out.exists():
        out.rename(old)
    staging.rename(out)
    _sync(out.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file during the block. Raises ConfigError where another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{message}: wait until it ends") from None
        yield


def _recorded(out: Path, kind: Kind) -> frozenset[str]:
    """Return the names that an earlier run recorded in the folder; none for another file."""
    try:
        names = json.loads((out / kind.record).read_text(encoding="utf-8")) if kind.record else []
    except (OSError, ValueError):
        return frozenset()
    return frozenset(names if isinstance(names, list) else ())


def _recover(out: Path) -> None:
    """Restore the old folder where a run was killed between the two renames."""
    old = _old(out)
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)
