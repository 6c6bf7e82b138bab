"""Measures how well `verify --near-duplicates` finds films that are stored twice, and its cost.

    python benchmarks/near_duplicates.py FOLDER... [--codes 2000 20000 100000]

FOLDER holds images of different films (PNG or JPEG, in any folders). It prints the recall for each
way in which a film may be stored again, the false pairs of different films, and the time and memory
of a search over codes of made-up films, which are as alike as real ones.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.validate import near_codes
from cxr_vlp.pipelines.validate import near_duplicates as near
from cxr_vlp.pipelines.validate.leakage import Place
from cxr_vlp.pipelines.validate.near_duplicates import Print, Prints

Grey = npt.NDArray[np.uint8]
SIDE = 512  # of the stored images, the default of shards.side


def scaled(film: Grey, side: int) -> Grey:
    """Return a film whose shortest side has `side` pixels; a smaller one stays as it is."""
    height, width = film.shape
    factor = min(1.0, side / min(height, width))
    size = round(width * factor), round(height * factor)
    return np.asarray(cv2.resize(film, size, interpolation=cv2.INTER_AREA), np.uint8)


def cropped(film: Grey, pixels: int) -> Grey:
    """Return a film without a border of pixels of the stored size."""
    border = round(pixels * min(film.shape) / SIDE)
    return film[border:-border, border:-border]


def compressed(film: Grey, quality: int) -> Grey:
    """Return a film that went through JPEG."""
    data = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def brighter(film: Grey) -> Grey:
    """Return a film with more contrast and brightness; the lightest pixels are cut."""
    return np.clip(film * 1.15 + 12, 0, 255).astype(np.uint8)


def windowed(film: Grey) -> Grey:
    """Return a film with a narrower window."""
    low, high = np.percentile(film, [2, 98])
    return np.clip((film - low) / (high - low + 1e-6) * 255, 0, 255).astype(np.uint8)


def padded(film: Grey) -> Grey:
    """Return a film as `resize: pad` stores it."""
    side = max(film.shape)
    square = np.zeros((side, side), np.uint8)
    top, left = ((side - n) // 2 for n in film.shape)
    square[top : top + film.shape[0], left : left + film.shape[1]] = film
    return square


AGAIN: dict[str, Callable[[Grey], Grey]] = {
    "224 pixels": lambda film: scaled(film, 224),
    "224 pixels, JPEG 75": lambda film: compressed(scaled(film, 224), 75),
    "JPEG 50": lambda film: compressed(film, 50),
    "square (sides not kept)": lambda film: np.asarray(cv2.resize(film, (SIDE, SIDE)), np.uint8),
    "histogram equalised": lambda film: np.asarray(cv2.equalizeHist(film), np.uint8),
    "locally equalised (CLAHE)": lambda film: np.asarray(
        cv2.createCLAHE(2.0, (8, 8)).apply(film), np.uint8
    ),
    "brighter": brighter,
    "gamma 0.7": lambda film: (255 * (film / 255) ** 0.7).astype(np.uint8),
    "another window": windowed,
    "border of 8 pixels cut": lambda film: cropped(film, 8),
    "border cut, equalised": lambda film: np.asarray(cv2.equalizeHist(cropped(film, 8)), np.uint8),
    "border of 16 pixels cut": lambda film: cropped(film, 16),
    "negative": lambda film: 255 - film,
    "padded to a square": padded,
}


def print_of(film: Grey, name: str = "", patient: str = "") -> Print:
    """Return the fingerprint of a film as `shards` stores it, with its default quality."""
    stored = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    height, width = film.shape
    facts = Pixels(height, width)
    found = near.of_image(stored, facts, name, "films", patient.encode())
    assert found is not None
    return found


def films(folders: Sequence[Path]) -> Iterator[Grey]:
    """Yield the films, as `shards` stores them."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
                film = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                if film is not None:
                    yield scaled(np.asarray(film, np.uint8), SIDE)


def recall(found: Sequence[Grey], originals: Sequence[Print]) -> None:
    """Print the share of films that are found again among all others."""
    for name, change in AGAIN.items():
        made = [print_of(change(film), f"again-{n}", f"again {n}") for n, film in enumerate(found)]
        prints = Prints()
        prints.add(Place("films", "train"), originals)
        prints.add(Place("stored again", "test"), made)
        pairs = [each.pair for each in prints.pairs() if each.places[0] != each.places[1]]
        hits = sum(pair.key == pair.other_key.removeprefix("again-") for pair in pairs)
        print(
            f"{name:28} {hits:5} of {len(made)}  {hits / len(made):7.1%}, "
            f"{len(pairs) - hits} with another film",
            flush=True,
        )


def false_pairs(originals: Sequence[Print]) -> None:
    """Print the pairs among different films."""
    prints = Prints()
    prints.add(Place("films", "train"), originals)
    pairs = prints.pairs()
    codes = np.frombuffer(b"".join(p.code for p in originals), "<u8").reshape(-1, 4)
    candidates = sum(1 for _ in near_codes.near(codes))
    number = len(originals) * (len(originals) - 1) // 2
    print(f"{number:,} pairs of different films: {candidates} candidates, {len(pairs)} false pairs")


def made_up(codes: npt.NDArray[np.uint64], number: int, seed: int = 0) -> Iterator[Print]:
    """Yield fingerprints whose codes have the distances of real ones: each mixes three of them."""
    bits = np.unpackbits(codes.view(np.uint8), axis=1)
    random = np.random.default_rng(seed)
    for place in range(number):
        three = bits[random.integers(0, len(bits), 3)]
        # neighbouring frequencies stay together, as they belong together in a film
        chosen = np.repeat(random.integers(0, 3, 32), 8)
        flipped = random.random(256) < 0.1
        code = np.take_along_axis(three, chosen[None], axis=0)[0] ^ flipped
        thumb = random.integers(0, 256, near.SIDE**2, np.uint8).tobytes()
        yield Print(f"k{place}", "films", str(place).encode(), np.packbits(code).tobytes(), thumb)


def search(codes: npt.NDArray[np.uint64], number: int) -> None:
    """Print time and memory of a search."""
    prints = Prints()
    prints.add(Place("films", "train"), made_up(codes, number))
    start = time.perf_counter()
    pairs = prints.pairs()
    seconds = time.perf_counter() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{number:8,} codes: {seconds:7.1f} s, {len(pairs)} pairs, at most {most:,} MB of memory")


def cost(found: Sequence[Grey]) -> None:
    """Print the time of a fingerprint."""
    stored = [cv2.imencode(".jpg", film)[1].tobytes() for film in found]
    facts = [Pixels(*film.shape) for film in found]
    start = time.perf_counter()
    for data, fact in zip(stored, facts, strict=True):
        near.of_image(data, fact, "", "", b"")
    each = (time.perf_counter() - start) / len(found)
    print(f"a fingerprint of a stored image takes {each * 1000:.2f} ms")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--codes", nargs="*", type=int, default=[2_000, 20_000, 100_000])
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    found = list(films(flags.folders))
    originals = [print_of(film, str(number), f"film {number}") for number, film in enumerate(found)]
    print(f"{len(found)} films")
    cost(found)
    recall(found, originals)
    false_pairs(originals)
    codes = np.frombuffer(b"".join(p.code for p in originals), "<u8").reshape(-1, 4)
    for number in flags.codes:
        search(codes, number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
