"""Measures `dvc repro` with nothing changed and with one image changed, against the first build.

    python benchmarks/rebuild_speed.py [--sizes 1000 10000] [--project 377110]

A tree of `--sizes` small files in NIH's layout goes through `dvc repro shards@nih`: once from
nothing, then with nothing changed, then with one image changed. The time with nothing changed is
projected to the number of images of MIMIC-CXR, on a straight line through the sizes. It is wall
time, because the work is done in other processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import timing
import yaml

ROOT = Path(__file__).resolve().parents[1]
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
PARTS = {"train": 8, "validate": 1, "test": 2}
ROUNDS = 3


def checkout(folder: Path, images: int) -> Path:
    """Write a DVC project over a tree of `images` small images; return its folder."""
    for name in (".src", "nlp", "pipelines", "train"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    wanted = {name: stages[name] for name in ("scan", "texts", "shards")}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": wanted}), encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["collections"] = ["nih"]
    params["sources"]["nih"] = {"root": "data/raw", "parts": PARTS, "reader": {"lists": "none"}}
    params["shards"]["side"] = 64
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copy(ROOT / ".dvcignore", folder)
    _tree(folder / "data" / "raw", images)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    return folder


def _tree(raw: Path, images: int) -> None:
    """Write the images (64 x 64, all different) and the table of a collection."""
    (raw / "images").mkdir(parents=True)
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    lines = [HEADER]
    for number in range(images):
        patient, follow_up = divmod(number, 4)
        name = f"{patient + 1:08d}_{follow_up:03d}.png"
        ramp[0, :4] = np.frombuffer(number.to_bytes(4, "big"), np.uint8)
        cv2.imwrite(str(raw / "images" / name), ramp)
        label = "Effusion" if number % 3 else "No Finding"
        sex = "F" if patient % 2 else "M"
        lines.append(f"{name},{label},{follow_up},{patient + 1},61,{sex},PA,2500,2048,0.168,0.168")
    (raw / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    past = time.time() - 3600
    for path in raw.rglob("*.*"):
        os.utime(path, (past, past))


def run(folder: Path, *command: str) -> float:
    """Run a command in a folder; return the seconds it took."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "PYTHONPATH": str(folder / ".src"),
    }
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - start


def measured(images: int) -> dict[str, list[float]]:
    """Return the seconds of a first build, of no-ops, and of rebuilds after one changed image."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = checkout(Path(scratch), images)
        repro = ("dvc", "repro", "-q", "shards@nih")
        first = [run(folder, *repro)] * ROUNDS
        nothing = [run(folder, *repro) for _ in range(ROUNDS)]
        image = folder / "data" / "raw" / "images" / "00000001_000.png"
        cv2.imwrite(str(image), 255 - cv2.imread(str(image), cv2.IMREAD_GRAYSCALE))
        one = [run(folder, *repro)] * ROUNDS
        return {"first build": first, "one image changed": one, "nothing changed": nothing}


def projected(costs: dict[int, float], images: int) -> float:
    """Return the seconds at `images`, on the straight line through the costs at other sizes."""
    slope, base = np.polyfit(list(costs), list(costs.values()), 1)
    return float(base + slope * images)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--project", type=int, default=377_110, help="images to project to")
    flags = parser.parse_args()
    rows, costs = [], {}
    for images in flags.sizes:
        times = measured(images)
        costs[images] = median(times["nothing changed"])
        rows += timing.compare(f"{images:,} images", times, to="nothing changed")
    note = f"nothing changed at {flags.project:,} images: {projected(costs, flags.project):.1f} s"
    good = timing.publish("rebuild_speed", rows, packages=("dvc", "apache-beam"), note=note)
    sys.stdout.write(f"{note} (projected)\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
