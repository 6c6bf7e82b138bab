"""Finds films that are stored twice with other pixels: another size, quality, window, polarity.

RSNA and SIIM hold NIH's films under other names, compressed again: no digest of theirs agrees. Each
stored image becomes a fingerprint of 48 x 48 ranks (so that no window and no equalisation changes
it) and a code of 256 signs of their cosine transform. Codes that differ in few bits are candidates
(near_codes.py finds them). A candidate is confirmed by the correlation of its details, after the
one image was moved and scaled onto the other, because a border may be cut off. Every image is
compared: nothing is drawn.

Where the numbers come from: benchmarks/near_duplicates.py measures them on real films.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.validate import near_codes
from cxr_vlp.pipelines.validate.leakage import Place
from cxr_vlp.pipelines.validate.near_codes import BITS, Codes

Thumb = npt.NDArray[np.uint8]

SIDE = 48  # pixels of a thumb
FINEST = 40  # the cosine transform's highest frequency that may be in a code
SAME = 0.9  # correlation of the details of one film, as they are or after alignment
BLUR = 2.0  # pixels: what is coarser is no detail
MOVED = 0.12  # how much an alignment may scale, turn or move, as a fraction
FLAT = 6.0  # grey levels between the darkest and lightest of an image that shows nothing
EDGE = 5.0  # percent of the pixels at each end that do not count: a letter on a black image


@dataclass(frozen=True, slots=True)
class Print:
    """The fingerprint of one stored image, and whose it is."""

    key: str
    dataset: str
    patient: bytes  # digest
    code: bytes
    thumb: bytes


class Pair(NamedTuple):
    """Two stored images that show one film, under two patients."""

    dataset: str
    key: str
    split: str
    other_dataset: str
    other_key: str
    other_split: str
    distance: int  # bits of 256 in which their codes differ


class Found(NamedTuple):
    """A pair, and the sets and splits of its images."""

    places: tuple[Place, Place]
    pair: Pair


def thumb(stored: bytes, facts: Pixels) -> Thumb | None:
    """Return the small form of a stored image as ranks from 0 to 255.

    None for an image that cannot be decoded; one that shows nothing gives zeros.
    """
    values = cv2.imdecode(np.frombuffer(stored, np.uint8), _reduced(facts))
    if values is None:
        return None
    small = np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    darkest, lightest = np.percentile(small, (EDGE, 100 - EDGE))
    if lightest - darkest < FLAT:  # all blank images are alike, and of nobody
        return np.zeros((SIDE, SIDE), np.uint8)
    return _ranks(small)


def _reduced(facts: Pixels) -> int:
    """Return the flag with which a JPEG is decoded at a half or a quarter of its size."""
    shortest = min(facts.width, facts.height)
    if shortest >= 8 * SIDE:
        return cv2.IMREAD_REDUCED_GRAYSCALE_4
    return cv2.IMREAD_REDUCED_GRAYSCALE_2 if shortest >= 4 * SIDE else cv2.IMREAD_GRAYSCALE


def _ranks(small: Thumb) -> Thumb:
    """Return the share of darker pixels for each pixel, equal ones at their middle, as 0 to 255."""
    counts = np.bincount(small.ravel(), minlength=256)
    below = np.cumsum(counts) - counts
    middle = (below + (counts - 1) / 2) / (small.size - 1)
    ranks: Thumb = np.rint(middle * 255).astype(np.uint8)[small]
    return ranks


def _frequencies() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows and columns of the transform that a code uses: the coarsest, without 0, 0."""
    pairs = sorted(
        ((down, across) for down in range(FINEST) for across in range(FINEST)),
        key=lambda pair: (sum(pair), pair),
    )
    used = [pair for pair in pairs if sum(pair) > 1][:BITS]
    return np.array([p[0] for p in used]), np.array([p[1] for p in used])


_ROWS, _COLUMNS = _frequencies()


def code(ranks: Thumb) -> bytes:
    """Return the code of a thumb, 32 bytes."""
    transformed = cv2.dct(ranks.astype(np.float32) - ranks.mean(dtype=np.float32))
    return np.packbits(transformed[_ROWS, _COLUMNS] > 0).tobytes()


def of_image(stored: bytes, facts: Pixels, key: str, dataset: str, patient: bytes) -> Print | None:
    """Return the fingerprint of an image, with no code if it shows nothing; None if unreadable."""
    ranks = thumb(stored, facts)
    if ranks is None:
        return None
    made = code(ranks) if ranks.any() else b""
    return Print(key, dataset, patient, made, ranks.tobytes() if made else b"")


class Prints:
    """The fingerprints of all sets. The thumbs are in an unnamed file: 2,304 bytes an image."""

    def __init__(self) -> None:
        self.blank = 0  # images that show nothing, which are compared with none
        self._codes = bytearray()
        self._thumbs = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._whose: list[tuple[str, str, bytes]] = []  # key, dataset, patient
        self._places: list[Place] = []
        self._place: list[int] = []

    def __len__(self) -> int:
        return len(self._whose)

    def add(self, place: Place, prints: Iterable[Print]) -> None:
        """Add the images of a tar."""
        self._places.append(place)
        for each in prints:
            if not each.code:
                self.blank += 1
                continue
            self._codes += each.code
            self._thumbs.write(each.thumb)
            self._whose.append((each.key, each.dataset, each.patient))
            self._place.append(len(self._places) - 1)

    def pairs(self, workers: int = 1) -> list[Found]:
        """Return the pairs of images of two patients that show one film, in a fixed order.

        Of many images with one code, each is paired with the first of every other split and set.
        """
        if not self._whose:
            return []
        codes = np.frombuffer(bytes(self._codes), "<u8").reshape(-1, BITS // 64)
        self._thumbs.flush()
        thumbs = np.memmap(self._thumbs, np.uint8, "r", shape=(len(self), SIDE, SIDE))
        wanted = sorted(set(self._listed(codes, workers)))
        with ThreadPoolExecutor(max(1, workers)) as threads:  # OpenCV works beside the others
            same = threads.map(lambda pair: same_film(thumbs[pair[0]], thumbs[pair[1]]), wanted)
            found = [pair for pair, is_same in zip(wanted, same, strict=True) if is_same]
        return sorted(self._found(codes, one, other) for one, other in found)

    def _listed(self, codes: Codes, workers: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs to be confirmed, as two numbers of images, the lower one first."""
        kept, group = np.unique(codes, axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(group.ravel()))

        def members(number: int) -> list[int]:
            own = order[ends[number - 1] if number else 0 : ends[number]]
            return [int(image) for image in own]

        for number in np.flatnonzero(np.diff(ends, prepend=0) > 1):
            own = members(int(number))
            yield from self._across(own, own)
        for one, other in near_codes.near(kept, workers):
            yield from self._across(members(one), members(other))
            yield from self._across(members(other), members(one))

    def _across(self, images: Sequence[int], others: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield each image with the first of the others in every place that is of another patient.

        So a thousand copies of one film give thousands of pairs, and not half a million.
        """
        firsts: dict[Place, list[int]] = {}
        for other in others:
            there = firsts.setdefault(self._places[self._place[other]], [])
            # two suffice: one of them is of another patient than any image
            if len(there) < 2 and self._patient(other) not in map(self._patient, there):
                there.append(other)
        for image in images:
            for there in firsts.values():
                strangers = [o for o in there if self._patient(o) != self._patient(image)]
                for other in strangers[:1]:
                    yield min(image, other), max(image, other)

    def _patient(self, image: int) -> bytes:
        return self._whose[image][2]

    def _found(self, codes: Codes, one: int, other: int) -> Found:
        halves = [(self._places[self._place[n]], self._whose[n], n) for n in (one, other)]
        (place, (key, dataset, _), first), (place_2, (key_2, dataset_2, _), second) = sorted(halves)
        bits = near_codes.differing(codes[first], codes[second])
        pair = Pair(dataset, key, place.split, dataset_2, key_2, place_2.split, bits)
        return Found((place, place_2), pair)


def same_film(one: Thumb, other: Thumb) -> bool:
    """Return whether two thumbs show one film, by their details; the one may be a negative."""
    a, b = one.astype(np.float32), other.astype(np.float32)
    alike = _correlation(a, b)
    if abs(alike) >= SAME:
        return True
    if _correlation(a, b, details=False) < 0:
        b = np.float32(255) - b
    moved = _aligned(a, b)
    return moved is not None and _correlation(a, moved, border=SIDE // 12) >= SAME


def _aligned(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32] | None:
    """Return the other thumb, moved and scaled onto the one; None if only a wild move fits."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    start, everywhere = np.eye(2, 3, dtype=np.float32), np.ones((SIDE, SIDE), np.uint8)
    try:
        _, move = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, stop, everywhere, 5)
    except cv2.error:  # it does not converge: the two have nothing in common
        return None
    change = np.abs(move - np.eye(2, 3, dtype=np.float32))
    if change[:, :2].max() > MOVED or change[:, 2].max() > MOVED * SIDE:
        return None
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped: npt.NDArray[np.float32] = cv2.warpAffine(
        other, move, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE
    )  # type: ignore[assignment]
    return warped


def _correlation(
    one: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    *,
    border: int = 0,
    details: bool = True,
) -> float:
    """Return the correlation of two thumbs or of their details, without a border of pixels."""
    inner = slice(border, SIDE - border)
    centred = []
    for each in (one, other):
        kept = (each - cv2.GaussianBlur(each, (0, 0), BLUR) if details else each)[inner, inner]
        centred.append((kept - kept.mean()).ravel())
    a, b = centred
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
