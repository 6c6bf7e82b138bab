"""Shards come in, the few samples that a page shows go out: pictures that differ, and reports.

Only the first tars of a set are opened, and a sample is chosen for a finding that is not on the
sheet yet, so a sheet of twelve shows more than twelve normal films.
"""

from __future__ import annotations

import base64
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.train.data.seeding import chance

CANDIDATES = 400  # samples of a set that are looked at
PICTURES = ("jpg", "png")


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample on the sheet: its JSON member, and its picture as a data URL."""

    sample: dict[str, Any]
    picture: str

    @property
    def findings(self) -> tuple[str, ...]:
        """The labels that are positive, No Finding among them."""
        return tuple(sorted(name for name, value in self.sample["labels"].items() if value == 1))

    @property
    def boxes(self) -> list[dict[str, Any]]:
        """The boxes as percentages of the picture, ready for a style sheet."""
        wide, high = self.sample["pixels"]["width"], self.sample["pixels"]["height"]
        sides = (("x", wide), ("y", high), ("w", wide), ("h", high))
        return [
            {"label": box["label"]} | {s: round(100 * box[s] / full, 2) for s, full in sides}
            for box in self.sample["boxes"]
        ]


def choose(folder: Path, count: int) -> list[Shown]:
    """Return `count` samples of a set that differ in their findings, always the same ones."""
    rest = sorted(_candidates(folder), key=_luck)
    seen: Counter[str] = Counter()
    chosen: list[Shown] = []
    while rest and len(chosen) < count:
        # the sample whose rarest finding has been shown least; in a tie the first of the shuffle
        best = min(rest, key=lambda shown: min((seen[f] for f in shown.findings), default=99))
        rest = [shown for shown in rest if shown.sample["study"] != best.sample["study"]]
        seen.update(best.findings)
        chosen.append(best)
    return chosen


def _luck(shown: Shown) -> float:
    return chance(0, 0, f"{shown.sample['study']}-{shown.sample['image']}", "gallery").random()


def mixed_reports(shown: Sequence[Shown], count: int) -> list[dict[str, Any]]:
    """Return samples whose reports hold normal and abnormal sentences: where the filter works."""
    both = [s.sample for s in shown if {"normal", "abnormal"} <= _statuses(s.sample)]
    return both[:count]


def _statuses(sample: dict[str, Any]) -> set[str]:
    return {sentence["status"] for sentence in sample["sentences"]}


def _candidates(folder: Path) -> Iterator[Shown]:
    found = 0
    for path in sorted(folder.glob("*/*.tar")):
        for shown in _samples(path):
            yield shown
            found += 1
            if found == CANDIDATES:
                return


def _samples(path: Path) -> Iterator[Shown]:
    picture = ""
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            form = member.name.rpartition(".")[2]
            data = tar.extractfile(member)
            if data is None:
                continue
            if form in PICTURES:
                kind = "jpeg" if form == "jpg" else form
                text = base64.b64encode(data.read()).decode()
                picture = f"data:image/{kind};base64,{text}"
            elif form == "json":
                yield Shown(json.load(data), picture)
