"""Loader speed: ours beside the ways others read the same films, one worker each, in one run.

    python benchmarks/loader_speed.py [--samples 1536] [--seconds 60]

The shards are made here: drawn films, 512 px on the short side, grained until the JPEGs at quality
95 have MIMIC's mean size (92 kB), with reports. Every candidate gives batches of 64 at 224 px
through a DataLoader with one worker; time is CPU time of both processes, the shards lie in the page
cache.

    open_clip       its own training loader and transform (RGB through Pillow, float32 x 3)
    folder          single files, the same transform and tokenizer
    float32 array   CheXzero's way: 320 px float32 by row, normalised, bicubic to 224; its HDF5 as a
                    memory map, which costs less
    plain tar       pictures by a ready index of offsets, our decoding and cutting: the floor;
                    `with texts`: and the tokenizer
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import open_clip  # noqa: E402
import PIL.Image  # noqa: E402
import rounds  # noqa: E402
import torch  # noqa: E402
import torchvision.transforms.v2.functional as v2f  # noqa: E402
import webdataset as wds  # noqa: E402
from samples import Films, make  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from cxr_vlp.train.config.recipe import load  # noqa: E402
from cxr_vlp.train.data import images  # noqa: E402
from cxr_vlp.train.data.loader import Loading, training  # noqa: E402
from cxr_vlp.train.data.samples import members  # noqa: E402
from cxr_vlp.train.data.shards import list_shards  # noqa: E402
from cxr_vlp.train.model.tokenizer import remembering  # noqa: E402

SIDE, BATCH = 224, 64
TOKENIZER = open_clip.get_tokenizer("ViT-B-32")


def main() -> int:
    """Make the films, let the candidates take turns, print and write the ratios."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--samples", type=int, default=1536, help="films; a multiple of 256")
    parser.add_argument("--seconds", type=float, default=60, help="about how long to measure")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        films = make(Path(folder), flags.samples)
        rows = loaders(films, flags.seconds) + readers(films)
    packages = ("torch", "torchvision", "webdataset", "open_clip_torch", "opencv-python-headless")
    return 0 if rounds.publish("loader_speed", rows, packages=packages) else 1


def loaders(films: Films, seconds: float) -> list[rounds.Row]:
    """Measure whole loaders: from shards or files to batches."""
    candidates = {
        "ours": lambda _: consume(ours(films), len(films.texts)),
        "open_clip": lambda _: consume(open_clips(films), len(films.texts)),
        "folder": lambda _: consume(loader(Folder(films)), len(films.texts)),
        "float32 array": lambda _: consume(loader(Rows(films)), len(films.texts)),
        "plain tar": lambda _: consume(loader(PlainTar(films, texts=False)), len(films.texts)),
        "with texts": lambda _: consume(loader(PlainTar(films, texts=True)), len(films.texts)),
    }
    times = rounds.race(candidates, [0], seconds=seconds)
    # A floor that takes 0.9 of our time is our speed at 0.9 of the floor's.
    bounds: dict[str, rounds.Bounds] = {"open_clip": (3.5, None), "plain tar": (0.9, None)}
    return rounds.compare(
        "loader, 1 worker", times, to="ours", items=len(films.texts), bounds=bounds
    )


def readers(films: Films) -> list[rounds.Row]:
    """Measure the reading of tars alone."""

    def stdlib(tar: Path) -> int:
        with tarfile.open(tar, "r:") as archive:
            return sum(len(archive.extractfile(member).read()) for member in archive)  # type: ignore[union-attr]

    candidates: dict[str, Callable[[Path], Any]] = {
        "ours": lambda tar: sum(len(member.data) for member in members(tar)),
        "tarfile": stdlib,
        "webdataset": lambda tar: sum(1 for _ in wds.WebDataset(str(tar), shardshuffle=False)),
    }
    times = rounds.race(candidates, films.tars, seconds=5)
    return rounds.compare("tar alone", times, to="ours", items=len(films.texts) // len(films.tars))


def consume(batches: Any, expected: int) -> None:
    """Take all batches; each way must really have shown every film."""
    seen = sum(len(first(batch)) for batch in batches)
    if seen != expected:
        raise RuntimeError(f"{seen} films came where {expected} went in")


def first(batch: Any) -> Any:
    """Return what is as long as a batch: its keys, or its pictures."""
    return batch.keys if hasattr(batch, "keys") else batch[0]


def ours(films: Films) -> Iterator[Any]:
    """Return our training loader as the recipe of the published baseline sets it."""
    recipe = load("base", {"image": {"crop": 0.1, "shift": 0.05}})
    tokenizer = remembering(TOKENIZER)
    loading = Loading(recipe, SIDE, lambda text: tokenizer([text])[0], workers=1)
    return training(list_shards([films.shards], "train"), loading, 0, BATCH)


def open_clips(films: Films) -> Iterator[Any]:
    """Yield from open_clip's training loader, patched as its webdataset is newer than it expects.

    Without the end-of-shard mark of webdataset >= 1.0, on which open_clip's grouping trips.
    """
    from open_clip_train import data

    if not isinstance(data.tar_file_expander, functools.partial):
        data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
    arguments = argparse.Namespace(
        train_data="::".join(str(tar) for tar in films.tars),
        train_num_samples=len(films.texts), train_data_upsampling_factors=None,
        dataset_resampled=False, batch_size=BATCH, workers=1, world_size=1, seed=0,
    )  # fmt: skip
    made = data.get_wds_dataset(arguments, transform(), is_train=True, tokenizer=TOKENIZER)
    yield from made.dataloader


def loader(dataset: Dataset[Any]) -> DataLoader[Any]:
    """Return torch's loader over a dataset, shuffled, with one worker."""
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=1)


class Folder(Dataset[Any]):
    """Single files through Pillow and open_clip's transform."""

    def __init__(self, films: Films) -> None:
        self.paths, self.texts = sorted(films.files.iterdir()), films.texts
        self.transform = transform()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Any:
        picture = PIL.Image.open(self.paths[place]).convert("RGB")
        return self.transform(picture), tokenize(self.texts[place])


class Rows(Dataset[Any]):
    """Rows of a float32 array, as CheXzero loads them."""

    def __init__(self, films: Films) -> None:
        self.array, self.texts = films.array, films.texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, place: int) -> Any:
        grey = torch.from_numpy(np.repeat(self.array[place][None], 3, axis=0))
        normal = v2f.normalize(grey, [101.48761] * 3, [83.43944] * 3)
        resized = v2f.resize(normal, [SIDE], v2f.InterpolationMode.BICUBIC, antialias=True)
        return resized, tokenize(self.texts[place])


class PlainTar(Dataset[Any]):
    """Pictures by their offsets in the tars, decoded and cut as ours are; no checks."""

    def __init__(self, films: Films, *, texts: bool) -> None:
        self.maps = [np.memmap(tar, np.uint8, "r") for tar in films.tars]
        self.recipe = load("base").image
        self.texts = films.texts if texts else ()
        self.places = []
        for number, tar in enumerate(films.tars):
            with tarfile.open(tar) as archive:
                pictures = [m for m in archive if m.name.endswith(".jpg")]
            self.places += [(number, m.offset_data, m.size) for m in pictures]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> Any:
        number, start, size = self.places[place]
        data = self.maps[number][start : start + size].tobytes()
        picture = images.decode(data, self.recipe, SIDE)
        assert picture is not None
        text = tokenize(self.texts[place]) if self.texts else 0
        return images.prepare(picture, self.recipe, SIDE, None), text


@functools.cache
def transform() -> Callable[[PIL.Image.Image], torch.Tensor]:
    """Return open_clip's training transform."""
    found: Any = open_clip.image_transform(SIDE, is_train=True)
    return found  # type: ignore[no-any-return]


def tokenize(text: str) -> torch.Tensor:
    """Return one text's tokens by open_clip's tokenizer, as all but ours do."""
    tokens: torch.Tensor = TOKENIZER([text])[0]
    return tokens


if __name__ == "__main__":
    raise SystemExit(main())
