"""Helpers for the tests of collections that are read by presets: readers, truths, whole runs."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import stages
from joining import Joined, join

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.pipelines import sources, verify

PARTS = {"train": 1, "validate": 1, "test": 1}


def scanned(root: Path, name: str, **options: Any) -> Joined:
    """Return the tree as a preset reads it."""
    joined = join(sources.reader(name, options), root)
    assert joined.balanced()
    return joined


def truth(out: Path, source: str) -> dict[str, dict[str, Any]]:
    """Return path of the image -> the line of its study."""
    lines = map(json.loads, (out / f"{source}.truth.jsonl").read_text().splitlines())
    return {line["images"][0]["path"]: line for line in lines}


def by_path(joined: Joined) -> dict[str, Any]:
    """Return path of the image -> its study."""
    return {study.images[0].path: study for study in joined.studies.values()}


def named(labels: dict[str, int]) -> dict[str, int]:
    """Return labels in the capitals of the samples."""
    return {canonical(name): value for name, value in labels.items()}


def boxes(found: Any, scale: float = 1.0) -> list[tuple[str, float, float, float, float]]:
    """Return the boxes of a truth line's or a study's image, sorted."""
    whole = [b if isinstance(b, dict) else {n: getattr(b, n) for n in ("label", *"xywh")}
             for b in found]  # fmt: skip
    return sorted(
        (canonical(b["label"]), *(round(b[side] * scale, 1) for side in "xywh")) for b in whole
    )


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table, as its header spells the columns."""
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def first_line(path: Path) -> str:
    """Return the header."""
    return path.read_text().split("\n", 1)[0]


def built(raw: Path, name: str, out: Path, **sections: Any) -> Path:
    """Run scan, texts and shards with one part for each split; return the folder of the set."""
    mine = {name: {"parts": PARTS, "max_rejects": 0.9, **sections.pop("collection", {})}}
    shards = {"side": 96, "format": "png", **sections.pop("shards", {})}
    return stages.build(raw, name, out, sources=mine, shards=shards, **sections)


def breaches(*sets: Path, deep: bool = False) -> dict[str, list[str]]:
    """Return code -> where, of what verify finds: breaches and notes."""
    found = verify.check(list(sets), deep=deep)
    both: dict[str, list[str]] = {}
    for one in (*found["breaches"], *found["notes"]):
        both.setdefault(one["code"], []).append(one["where"])
    return both


def lost(folder: Path) -> Counter[str]:
    """Return code -> images that were rejected, of the rejects of a set."""
    found: Counter[str] = Counter()
    for line in (folder / "rejects.jsonl").read_text().splitlines():
        row = json.loads(line)
        found[row["code"]] += row.get("images", 1)
    return found
