"""Writes the samples for the benchmarks of loading: as shards, as single files, as rows of float32.

The images are drawn, 512 px on the short side. Noise is added until their JPEGs at quality 95 have
the mean size of MIMIC's at that side (92 kB), because the time of a decoder follows the compressed
size. Each has a record of about the length of a real one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.nlp.wording.prompts import report_prompts
from cxr_vlp.pipelines.format import versions
from cxr_vlp.pipelines.format.tar import TarWriter
from cxr_vlp.pipelines.synthetic.cases import patients
from cxr_vlp.pipelines.synthetic.phantom import render

SHARDS, SIDE, BYTES, ROW = 4, 512, 92_000, 320


@dataclass(frozen=True)
class ImageSet:
    """The same images as a set of shards, as a folder of files, and as an array (N, 320, 320)."""

    shards: Path
    files: Path
    array: np.ndarray
    texts: tuple[str, ...]

    @property
    def tars(self) -> list[Path]:
        """The shards, in order."""
        return sorted((self.shards / "train").glob("*.tar"))


def make(folder: Path, samples: int) -> ImageSet:
    """Write `samples` images in every form below `folder`, a quarter of them in each shard."""
    train, files = folder / "mock" / "train", folder / "files"
    train.mkdir(parents=True)
    files.mkdir()
    array = np.memmap(folder / "array", np.float32, "w+", shape=(samples, ROW, ROW))
    drawn, noise = _drawn(16), np.random.default_rng(0).standard_normal((1024, 1024))
    strength = _strength(drawn, noise)
    texts, sizes = [], {}
    for number in range(SHARDS):
        name = f"mock-train-{number:05d}.tar"
        sizes[name] = samples // SHARDS
        with (train / name).open("wb") as stream:
            tar = TarWriter(stream)
            for place in range(number * sizes[name], (number + 1) * sizes[name]):
                image = _with_noise(drawn[place % len(drawn)], np.roll(noise, 31 * place), strength)
                record, jpeg = _record(place), _jpeg(image)
                texts.append(record["caption"])
                parts = (jpeg, json.dumps(record).encode(), record["caption"].encode())
                for kind, content in zip(("jpg", "json", "txt"), parts, strict=True):
                    tar.add(f"mock-s{place:06d}-i0.{kind}", content)
                (files / f"{place:06d}.jpg").write_bytes(jpeg)
                array[place] = cv2.resize(image, (ROW, ROW), interpolation=cv2.INTER_AREA)
            tar.finish()
    (train / "sizes.json").write_text(json.dumps(sizes))
    return ImageSet(folder / "mock", files, array, tuple(texts))


def _drawn(number: int) -> list[np.ndarray]:
    people = patients.cohort("mimic", 4 * number, seed=0)
    studies = [study for person in people for study in person.studies if study.views][:number]
    images = [render.draw(study, study.views[0], height=640, seed=0).pixels for study in studies]
    scales = [SIDE / min(image.shape) for image in images]
    return [
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for image, scale in zip(images, scales, strict=True)
    ]


def _strength(images: list[np.ndarray], noise: np.ndarray) -> float:
    """Return the strength of the noise at which the mean JPEG has BYTES, found by halving."""
    low, high = 0.0, 0.2
    for _ in range(8):
        middle = (low + high) / 2
        size = np.mean([len(_jpeg(_with_noise(image, noise, middle))) for image in images])
        low, high = (middle, high) if size < BYTES else (low, middle)
    return low


def _with_noise(image: np.ndarray, noise: np.ndarray, strength: float) -> np.ndarray:
    height, width = image.shape
    levels = 255 * (image + strength * noise[:height, :width])
    return np.clip(levels, 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _record(place: int) -> dict[str, Any]:
    labels = {name: (place >> i) & 1 for i, name in enumerate(CHEXPERT14)}
    prompts = report_prompts(labels, k=4, seed=0, epoch=0, key=str(place))
    sentences = [
        {"text": text, "section": "findings", "index": i, "status": "normal", "mentions": []}
        for i, text in enumerate(" ".join(prompts[1:]).split(". "))
    ]
    return {
        "format": versions.FORMAT, "caption": prompts[0], "impression": prompts[0],
        "findings": prompts[1], "dataset": "mock", "patient": f"p{place}", "study": f"s{place}",
        "image": "i0", "view": "frontal", "labels": labels, "prompts": prompts,
        "sentences": sentences,
    }  # fmt: skip
