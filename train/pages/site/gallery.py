"""Writes the images that the pages of labels show, with heat maps where a model is given.

Each image is written once, as a JPEG of at most SIDE pixels: images/HASH.jpg. The heat map of an
evaluation's model for a label is images/HASH-LABEL-MODEL.jpg.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.data.samples import stored_samples
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.site import heat_maps, picks
from cxr_vlp.train.pages.site.page import Site
from cxr_vlp.train.pages.site.picks import Pick

FOLDER = "images"
SIDE = 320
QUALITY = 85

Grey = npt.NDArray[np.uint8]
Lists = Mapping[str, tuple[Pick, ...]]


@dataclass(frozen=True, slots=True)
class Shown:
    """One image of a page: the pick, its file, and the file with its heat map ("": none)."""

    pick: Pick
    file: str
    heat: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The images of one label and one evaluation: (name of the list, images)."""

    evaluation: str
    lists: tuple[tuple[str, tuple[Shown, ...]], ...]
    with_heat: bool


@dataclass(frozen=True, slots=True)
class Images:
    """All galleries, by label."""

    galleries: Mapping[str, tuple[Gallery, ...]] = field(default_factory=dict)

    def of(self, label: str) -> tuple[Gallery, ...]:
        """Return the galleries of a label, one for each evaluation that scores it."""
        return self.galleries.get(label, ())


def make(site: Site, labels: Sequence[str]) -> Images:
    """Write the images of the labels to the site's folder, and return where they are.

    Raises DataError where a scored image is not in the shards: these are other shards than those
    that were evaluated.
    """
    chosen = {
        (evaluated.name, label): found
        for evaluated in site.evaluations
        for label in labels
        if (found := picks.of(evaluated, label))
    }
    written = _write_images(site, chosen)
    heats = {
        each.name: heat_maps.write(site, each, chosen, written, name_of, write_jpeg)
        for each in site.evaluations
    }
    return Images(
        {
            label: tuple(
                _gallery(each.name, chosen[each.name, label], heats[each.name], label)
                for each in site.evaluations
                if (each.name, label) in chosen
            )
            for label in labels
        }
    )


def _write_images(site: Site, chosen: Mapping[tuple[str, str], Lists]) -> dict[str, Grey]:
    """Write the chosen images; return each as it is stored, by key."""
    wanted = {pick.key for lists in chosen.values() for picks in lists.values() for pick in picks}
    stored = dict(_stored(site, wanted))
    absent = len(wanted - set(stored))
    if absent:
        raise DataError(
            f"{absent} of {len(wanted)} scored images are not in the shards: give the report the "
            "shards that were evaluated, or evaluate these"
        )
    (site.out / FOLDER).mkdir(exist_ok=True)
    for key, grey in stored.items():
        write_jpeg(site.out / name_of(key), grey)
    return stored


def name_of(key: str, *more: str) -> str:
    """Return the file of an image below the site; `more`: of what it is a heat map."""
    words = [re.sub("[^a-z0-9]+", "-", word.lower()) for word in more]
    return f"{FOLDER}/{'-'.join([key_hash(key), *words])}.jpg"


def write_jpeg(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an image as a JPEG whose longer side is at most SIDE pixels."""
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    data: Any = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    path.write_bytes(data.tobytes())


def _stored(site: Site, wanted: set[str]) -> Iterator[tuple[str, Grey]]:
    """Yield (key, image) of the wanted samples, which are in the splits that were evaluated."""
    splits = sorted({str(each.decided_by["split"]) for each in site.evaluations})
    for split in splits:
        for shard in list_shards([each.folder for each in site.sets], split):
            for stored in stored_samples(shard):
                if stored.key in wanted:
                    yield stored.key, _decoded(stored.image, stored.key)


def _decoded(data: bytes, key: str) -> Grey:
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise DataError(f"the image of sample {key_hash(key)} cannot be decoded")
    found: Grey = image
    return found


def _gallery(
    evaluation: str, lists: Lists, heats: Mapping[tuple[str, str], str], label: str
) -> Gallery:
    """Return the gallery of one label and evaluation; empty lists are left out."""
    shown = tuple(
        (words, tuple(Shown(p, name_of(p.key), heats.get((label, p.key), "")) for p in lists[name]))
        for name, words in picks.LISTS
        if lists[name]
    )
    with_heat = any(each.heat for _, images in shown for each in images)
    return Gallery(evaluation, shown, with_heat)
