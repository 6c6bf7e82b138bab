"""Folders before a run, and the files that the run should publish, for tests of failing runs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from launching import Launcher
from stages import params, tree_bytes

from cxr_vlp.pipelines.synthetic.layouts import mimic

SOURCE = "mimic"
STAGES = ("scan", "texts", "shards")


@dataclass(frozen=True)
class Scene:
    """A folder as it is before a run, and the files that the run publishes."""

    folder: Path
    stage: str
    raw: Path
    old: dict[str, bytes]  # {} for a first run
    new: dict[str, bytes]

    def copy(self, place: Path) -> Path:
        """Copy the folder, with the times of its files."""
        shutil.copytree(self.folder, place, copy_function=shutil.copy2)
        return place

    def arguments(self, place: Path, out: Path | None = None) -> list[str]:
        """Return the command line of the run; `out` replaces its output folder."""
        where = {stage: str(place / stage / SOURCE) for stage in STAGES}
        before = STAGES[: STAGES.index(self.stage)]
        read = [word for name in before for word in (f"--{name}", where[name])]
        return [
            SOURCE, "--root", str(self.raw), "--params", str(place / "params.yaml"),
            "--state", str(place / ".cxr"), "--workers", "2",
            "--out", str(out or where[self.stage]), *read,
        ]  # fmt: skip

    def out(self, place: Path) -> Path:
        """Return the folder of the set."""
        return place / self.stage / SOURCE


def make(base: Path, launcher: Launcher) -> dict[str, Scene]:
    """Return first runs and runs after a change, of `scan`, `texts` and `shards`."""
    tree = base / "raw" / SOURCE
    mimic.write(base / "raw", studies=8, seed=3, height=96)
    for path in tree.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    _build(base / "before", tree, launcher)
    _change(tree)
    _build(base / "after", tree, launcher)
    made = {}
    for stage in STAGES:
        for kind in ("first", "again"):
            folder = base / f"{stage}-{kind}"
            old = _lay(folder, base, stage, kind)
            new = tree_bytes(base / "after" / stage / SOURCE)
            assert old != new
            made[f"{stage}-{kind}"] = Scene(folder, stage, tree, old, new)
    return made


def _build(place: Path, tree: Path, launcher: Launcher) -> None:
    params(place)
    for stage in STAGES:
        run = launcher.run(stage, Scene(place, stage, tree, {}, {}).arguments(place), inline=True)
        assert run.code == 0, run.said


def _change(tree: Path) -> None:
    """Replace an image file by another image, and add a sentence to a report."""
    images = sorted(tree.rglob("*.dcm"))
    shutil.copyfile(images[1], images[0])
    report = sorted(tree.rglob("s5*.txt"))[0]
    report.write_text(report.read_text() + "\n There is a small left pleural effusion.\n")


def _lay(folder: Path, base: Path, stage: str, kind: str) -> dict[str, bytes]:
    """Make the folder: earlier stages are done, the stage itself has its old set or none."""
    for name in STAGES[: STAGES.index(stage)]:
        shutil.copytree(base / "after" / name / SOURCE, folder / name / SOURCE)
    params(folder)
    if kind == "first":
        return {}
    shutil.copytree(base / "before" / stage / SOURCE, folder / stage / SOURCE)
    shutil.copytree(base / "before" / ".cxr", folder / ".cxr")
    return tree_bytes(folder / stage / SOURCE)
