"""webdataset and plain PyTorch: `python examples/read_with_webdataset.py data/shards/nih`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torchvision.transforms.v2 as v2
import webdataset as wds


def loader(folders: list[Path], split: str, batch: int, side: int) -> torch.utils.data.DataLoader:
    """Return batches of images (B, 1, side, side) float32 in [0, 1], captions and JSON members."""
    tars = [str(path) for folder in folders for path in sorted((folder / split).glob("*.tar"))]
    if not tars:
        raise SystemExit(f"no tars in the folder {split} of these sets")
    transform = v2.Compose(
        [v2.Resize(side), v2.CenterCrop(side), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )
    data = (
        wds.WebDataset(tars, shardshuffle=False, empty_check=False)
        .decode("pill")  # 8-bit grey; "pil" makes three channels
        .to_tuple("jpg;png", "txt", "json")
        .map_tuple(transform)
        # a list for each member: labels that are not mentioned have no key, so they do not collate
        .batched(batch, collation_fn=lambda rows: tuple(zip(*rows, strict=True)))
        .map_tuple(torch.stack)
    )
    return torch.utils.data.DataLoader(data, batch_size=None, num_workers=0)


def main() -> None:
    """Print the shape of the batches and the number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+", help="one set or several")
    parser.add_argument("--split", default="train")
    flags = parser.parse_args()
    total = 0
    for images, captions, documents in loader(flags.shards, flags.split, batch=8, side=64):
        assert len(images) == len(captions) == len(documents)
        total += len(images)
    print(f"{total} images of {tuple(images.shape[1:])}")


if __name__ == "__main__":
    main()
