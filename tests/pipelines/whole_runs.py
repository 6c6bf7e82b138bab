"""Helpers for the tests of presets: a look-alike the whole way, its truth beside the samples."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from stages import PARTS, build, samples

from cxr_vlp.pipelines import verify

Line = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The truth lines and the samples of a look-alike, by the source file of each image."""

    truth: Mapping[str, tuple[Line, Line]]  # path -> (line of the study, line of the image)
    samples: Mapping[str, Line]  # path -> JSON member
    folder: Path  # of the set

    def pairs(self) -> list[tuple[Line, Line, Line]]:
        """Return (study, image, sample) of each image; all images must have a sample."""
        assert set(self.samples) == set(self.truth)
        return [(*self.truth[path], self.samples[path]) for path in sorted(self.truth)]

    def picture(self, sample: Line) -> Any:
        """Return the pixels of a sample's image."""
        name = f"{sample['dataset']}-{sample['study']}-{sample['image']}.jpg"
        for path in self.folder.glob(f"{sample['split']}/*.tar"):
            with tarfile.open(path) as tar:
                if name in tar.getnames():
                    data = np.frombuffer(tar.extractfile(name).read(), np.uint8)
                    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        raise AssertionError(name)


def whole_run(
    folder: Path, source: str, write: Callable[..., Any], reader: Line | None = None, **options: Any
) -> Run:
    """Write a look-alike, run scan, texts, shards and `verify --deep` on it."""
    write(folder / "raw", **({"studies": 12, "seed": 3, "height": 128} | options))
    collection = {source: {"parts": PARTS, "reader": reader or {}}}
    made = build(folder / "raw" / source, source, folder / "out", sources=collection)
    assert verify.main([str(made), "--deep"]) == 0
    return Run(_truth(folder / "raw" / f"{source}.truth.jsonl"), _samples(folder, source), made)


def _truth(path: Path) -> dict[str, tuple[Line, Line]]:
    lines = map(json.loads, path.read_text().splitlines())
    return {image["path"]: (line, image) for line in lines for image in line["images"]}


def _samples(folder: Path, source: str) -> dict[str, Line]:
    """Return the samples by the path that the inventory has for them."""
    found = dict(samples(folder / "out/shards" / source))
    paths = {}
    for part in (folder / "out/scan" / source).glob(f"{source}-*.jsonl"):
        for study in map(json.loads, part.read_text().splitlines()):
            for image in study["images"]:
                paths[f"{source}-{study['key']}-{image['key']}"] = image["path"]
    return {paths[key]: sample for key, sample in found.items()}


def views_agree(image: Line, sample: Line) -> bool:
    """Return whether a sample has the view of the truth; "" there means none that is known."""
    wanted = {"PA": "frontal", "AP": "frontal", "LATERAL": "lateral"}.get(image["view"], "")
    return sample["view"] == wanted if wanted else sample["view"] in ("unknown", "other")


def boxes_agree(image: Line, sample: Line, *, within: float = 1.0) -> bool:
    """Return whether a sample's boxes are those of the truth, in pixels of the stored image."""
    pixels = sample["pixels"]
    wide = pixels["width"] / pixels["source_width"]
    high = pixels["height"] / pixels["source_height"]
    wanted = sorted(
        (b["label"], b["x"] * wide, b["y"] * high, b["w"] * wide, b["h"] * high)
        for b in image["boxes"]
    )
    found = sorted((b["label"], b["x"], b["y"], b["w"], b["h"]) for b in sample["boxes"])
    return [b[0] for b in wanted] == [b[0] for b in found] and all(
        abs(one - other) <= within
        for w, f in zip(wanted, found, strict=True)
        for one, other in zip(w[1:], f[1:], strict=True)
    )
