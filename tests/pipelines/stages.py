"""Helpers for the stage tests: run the commands on a tree, and read the samples they wrote."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.pipelines import scan, shards, texts

PARTS = {"train": 2, "validate": 1, "test": 1}


def params(folder: Path, **sections: Any) -> Path:
    """Write a params file with few parts and small images."""
    names = ("mimic", "chexpert", "nih", "openi")
    content: dict[str, Any] = {"sources": {name: {"parts": PARTS} for name in names}}
    content["shards"] = {"side": 128}
    for name, values in sections.items():
        content[name] = {**content.get(name, {}), **values}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def build(raw: Path, source: str, out: Path, *, workers: int = 1, **sections: Any) -> Path:
    """Run scan, texts and shards of a source; return the folder of the set."""
    common = ["--root", str(raw), "--params", str(params(out, **sections))]
    common += ["--workers", str(workers), "--state", str(out / ".cxr")]
    where = {stage: str(out / stage / source) for stage in ("scan", "texts", "shards")}
    run_scan(source, common, out)
    assert texts.main([source, *common, "--scan", where["scan"], "--out", where["texts"]]) == 0
    read = ["--scan", where["scan"], "--texts", where["texts"]]
    assert shards.main([source, *common, *read, "--out", where["shards"]]) == 0
    return Path(where["shards"])


def run_scan(source: str, common: list[str], out: Path) -> None:
    """Run scan with its state folder beside the output; tests must not use the project's."""
    state = ["--state", str(out / ".cxr"), "--out", str(out / "scan" / source)]
    assert scan.main([source, *common, *state]) == 0


def samples(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, JSON member) of every sample of a set."""
    for path in sorted(folder.glob("*/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    yield member.name[: -len(".json")], json.load(tar.extractfile(member))


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, without locks."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if _is_output(p)}


def _is_output(path: Path) -> bool:
    """Return whether a file's bytes are decided by inputs and parameters alone."""
    # the index of a scan has the times and inodes of the files
    return path.suffix != ".lock" and path.name != "index.sqlite"
