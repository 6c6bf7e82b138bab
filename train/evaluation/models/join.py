"""Finds the image that a row of a table means: by key, never by the order of the rows.

A row may name an image by its key, by the 16 digits that stand for the key, by the path of its file
in its collection, or by its study where that has one image. A path is compared from its end, and as
much of it as there is: `patient64741/study1/view1_frontal.jpg` is not the image `view1_frontal` of
another patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.evaluation.facts import ImageFacts

COLUMNS = ("key", "image", "path", "study")  # that may name the image, the first one that is there
DISTINCT = 16  # characters; a shorter id of an image (0, view1_frontal) is one only in its study
ENDINGS = (".jpg", ".jpeg", ".png", ".dcm", ".dicom", ".bmp", ".tif", ".tiff")
MOST_PARTS = 4  # of a path that a key is made of


class Index:
    """The images of an evaluation by every name that a row may give them."""

    def __init__(self, images: Sequence[ImageFacts]) -> None:
        self.places: dict[str, list[int]] = {}
        for place, image in enumerate(images):
            for name in _names(image):
                self.places.setdefault(name, []).append(place)

    def find(self, given: str) -> list[int]:
        """Return the places of the images that a name may mean: none, one, or several."""
        for name in _readings(given):
            found = self.places.get(name)
            if found:
                return found
        return []


def _names(image: ImageFacts) -> Iterable[str]:
    study = image.study.partition("/")[2]
    _, _, own = image.key.partition(f"-{study}-")
    names = [image.key, key_hash(image.key), f"{study}-{own}", study]
    return dict.fromkeys(
        name.lower() for name in (*names, *([own] if len(own) >= DISTINCT else ()))
    )


def _readings(given: str) -> Iterable[str]:
    """Return the names that a text may be, the longest first: a/b/c.png -> a-b-c, b-c, c."""
    lowered = given.strip().lower().replace("\\", "/")
    yield lowered
    path = PurePosixPath(lowered)
    stem = path.name
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    parts = [*path.parts[:-1], stem][-MOST_PARTS:]
    for first in range(len(parts)):
        yield "-".join(parts[first:])
