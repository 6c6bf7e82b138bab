"""A checkout of the project in which a test runs `dvc repro`, with small settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TRACKED = ("dvc.yaml", ".dvcignore", ".src", "nlp", "pipelines", "train")


def make(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy the project's files, with small pictures and six steps of training; `change` the rest.

    The folder becomes a repository of git and of DVC.
    """
    ignore = shutil.ignore_patterns("__pycache__")
    for name in TRACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["shards"]["side"] = 128
    params["train"]["overrides"] = {"run": {"steps": 6, "validate_every": 3, "batch_size": 8}}
    params["evaluate"] |= {"resamples": 20, "min_positives": 1}  # few images are held out
    change(params)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots", dirs_exist_ok=True)
    return folder


def environment(folder: Path) -> Mapping[str, str]:
    """Return the variables of a command: the tools of the tests, the code of the checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(folder / ".src")}


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command in the checkout and return what it said. Fails for another exit code."""
    found = environment(folder)
    done = subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
