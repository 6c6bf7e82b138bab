"""Chooses the example images and reports that the page shows.

Only the first tars of a set are opened. Each choice prefers a sample with a finding that has been
shown least, so the page does not show normal images only.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.train.data.samples import IMAGES, members
from cxr_vlp.train.data.seeding import generator

CANDIDATES = 400  # samples of a set among which the examples are chosen


@dataclass(frozen=True, slots=True)
class Example:
    """One sample on the page: its JSON member, and its image as a data URL."""

    sample: dict[str, Any]
    image: str

    @property
    def findings(self) -> tuple[str, ...]:
        """The positive labels, No Finding among them."""
        return tuple(sorted(name for name, value in self.sample["labels"].items() if value == 1))

    @property
    def boxes(self) -> list[dict[str, Any]]:
        """The boxes, in percent of the image's sides, as the style sheet needs them."""
        width, height = self.sample["pixels"]["width"], self.sample["pixels"]["height"]
        sides = (("x", width), ("y", height), ("w", width), ("h", height))
        return [
            {"label": box["label"]} | {s: round(100 * box[s] / full, 2) for s, full in sides}
            for box in self.sample["boxes"]
        ]


def choose(folder: Path, count: int) -> list[Example]:
    """Return `count` samples of a set with different findings; the same ones each time."""
    rest = sorted(_candidates(folder), key=_order)
    seen: Counter[str] = Counter()
    chosen: list[Example] = []
    while rest and len(chosen) < count:
        # the sample whose rarest finding has been shown least; of several the first
        best = min(rest, key=lambda each: min((seen[f] for f in each.findings), default=99))
        rest = [each for each in rest if each.sample["study"] != best.sample["study"]]
        seen.update(best.findings)
        chosen.append(best)
    return chosen


def mixed_reports(shown: Sequence[Example], count: int) -> list[dict[str, Any]]:
    """Return samples whose reports hold normal and abnormal sentences: the filter changes them."""
    both = [s.sample for s in shown if {"normal", "abnormal"} <= _statuses(s.sample)]
    return both[:count]


def _order(each: Example) -> float:
    key = f"{each.sample['study']}-{each.sample['image']}"
    return generator(0, 0, key, "gallery").random()  # another purpose: other examples


def _statuses(sample: dict[str, Any]) -> set[str]:
    return {sentence["status"] for sentence in sample["sentences"]}


def _candidates(folder: Path) -> Iterator[Example]:
    found = 0
    for path in sorted(folder.glob("*/*.tar")):
        for example in _examples(path):
            yield example
            found += 1
            if found == CANDIDATES:
                return


def _examples(path: Path) -> Iterator[Example]:
    image = ""
    for name, data, *_ in members(path):
        form = name.rpartition(".")[2]
        if form in IMAGES:
            kind = "jpeg" if form == "jpg" else form
            image = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        elif form == "json":
            yield Example(json.loads(data), image)
