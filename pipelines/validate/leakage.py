"""Finds keys, patients and images that are in two splits, or twice in one split, by digests.

NIH, RSNA and SIIM-ACR share images under other names and patients, so the patient's id alone does
not keep a test image out of training. Only exact copies are found: an image that was compressed
again, or that another set stores at another size, has other pixels.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

SIZE = 16  # bytes; two of a billion digests agree by chance less than once in 10^20


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A split of a set."""

    set: str
    split: str

    def __str__(self) -> str:
        return f"{self.set}/{self.split}"


# ids that two collections do not invent independently: MIMIC's and VinDr's digests, UUIDs of
# RSNA, UIDs of DICOM (in a key, their dots are hyphens) and names of NIH's images
_ONLY = re.compile(
    r"[0-9a-f]{32,}|[0-9a-f]{8}(?:[_-][0-9a-f]{4}){3}[_-][0-9a-f]{12}|[0-9a-f]{8}(?:[_-][0-9a-f]{8}){4}"
    r"|[12](?:[._-]\d+){5,}|\d{8}_\d{3}"
)


def only_name(study: str, image: str) -> str:
    """Return the image's id, or its study's, if no two collections have it by chance; else ""."""
    return next((word for word in (image, study) if _ONLY.fullmatch(word)), "")


def digest(*words: str) -> bytes:
    """Return the digest of some words; they may be names that are not valid UTF-8."""
    joined = "\x1f".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=SIZE).digest()


def each(digests: bytes | bytearray) -> Iterator[bytes]:
    """Yield the single digests of joined ones."""
    return (bytes(digests[at : at + SIZE]) for at in range(0, len(digests), SIZE))


class Ledger:
    """The digests of one kind over all sets; each takes 20 bytes of memory."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._digests: list[bytes] = []

    def add(self, place: Place, digests: bytes) -> None:
        """Add the digests, joined, of what is in a place."""
        self._places.append(place)
        self._digests.append(digests)

    def across(self) -> dict[str, int]:
        """Return "nih/train and siim/test" -> number of digests in both, of two splits."""
        pairs = sorted(self._pairs().items())
        return {f"{one} and {other}": count for (one, other), count in pairs}

    def between(self, *, sets: bool) -> dict[str, int]:
        """Return the counts of `across` for two sets, or (sets=False) for two splits of one set."""
        pairs = sorted(self._pairs().items())
        return {f"{a} and {b}": count for (a, b), count in pairs if (a.set != b.set) == sets}

    def _pairs(self) -> Counter[tuple[Place, Place]]:
        found: Counter[tuple[Place, Place]] = Counter()
        for places in self._repeated():
            for one, other in combinations(sorted(set(places)), 2):
                if one.split != other.split:
                    found[one, other] += 1
        return found

    def within(self) -> dict[str, int]:
        """Return "nih/train and siim/train" -> number of digests that occur more than once."""
        found: Counter[str] = Counter()
        for places in self._repeated():
            by_split: dict[str, list[Place]] = {}
            for place in places:
                by_split.setdefault(place.split, []).append(place)
            for same in by_split.values():
                if len(same) > 1:
                    found[" and ".join(map(str, sorted(set(same))))] += 1
        return dict(sorted(found.items()))

    def twice(self) -> int:
        """Return the number of digests that occur more than once, in any place."""
        return sum(1 for _ in self._repeated())

    def _repeated(self) -> Iterator[list[Place]]:
        """Yield the places of every digest that occurs more than once."""
        halves = np.frombuffer(b"".join(self._digests), "<u8").reshape(-1, 2)
        lengths = [len(digests) // SIZE for digests in self._digests]
        owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        order = np.lexsort((halves[:, 0], halves[:, 1]))
        halves, owners = halves[order], owners[order]
        differs = np.any(halves[1:] != halves[:-1], axis=1)
        edges = np.flatnonzero(np.concatenate(([True], differs, [True]))[: len(halves) + 1])
        starts = edges[:-1][np.diff(edges) > 1]
        ends = edges[1:][np.diff(edges) > 1]
        for start, end in zip(starts, ends, strict=True):
            yield [self._places[owner] for owner in owners[start:end]]
