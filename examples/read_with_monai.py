"""MONAI, with random access: `python examples/read_with_monai.py data/shards/nih`.

The table of samples says where each image lies in its tar, so nothing is unpacked. `cxr-vlp card`
writes the table as samples.parquet; here it is made from the set and kept in `--state`.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, Lambdad, RandFlipd, Resized, ScaleIntensityRanged
from PIL import Image

from cxr_vlp.pipelines.cards import sample_table


def items(folder: Path, state: Path, split: str, label: str) -> list[dict]:
    """Return a dict a sample of a split that mentions a label: where its image is, the label."""
    rows = sample_table.of_set(folder, state).to_pylist()
    return [
        {
            "image": (str(folder / split / row["shard"]), row["offset"], row["bytes"]),
            "label": row[f"{sample_table.LABEL}{label}"],
        }
        for row in rows
        if row["split"] == split and row[f"{sample_table.LABEL}{label}"] is not None
    ]


def read(place: tuple[str, int, int]) -> np.ndarray:
    """Return the image at (tar, offset, bytes) as (1, height, width) float32."""
    path, offset, size = place
    with Path(path).open("rb") as tar:
        tar.seek(offset)
        image = Image.open(io.BytesIO(tar.read(size)))
    return np.asarray(image, np.float32)[None]


def main() -> None:
    """Print the shape of a batch and the number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--label", default="No Finding")
    parser.add_argument("--state", type=Path, default=Path(".cxr"))
    flags = parser.parse_args()
    transform = Compose([
        Lambdad("image", read),
        ScaleIntensityRanged("image", 0, 255, 0, 1),
        Resized("image", (64, 64)),
        RandFlipd("image", prob=0.5, spatial_axis=0),
    ])  # fmt: skip
    chosen = items(flags.shards, flags.state, flags.split, flags.label)
    if not chosen:
        raise SystemExit(f"no sample of {flags.split} mentions {flags.label}")
    data = CacheDataset(chosen, transform, num_workers=0, progress=False)
    batch = next(iter(DataLoader(data, batch_size=8)))
    print(f"{len(data)} images, batches of {tuple(batch['image'].shape)}")


if __name__ == "__main__":
    main()
