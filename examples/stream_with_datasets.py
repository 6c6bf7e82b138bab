"""Hugging Face datasets, streamed: `python examples/stream_with_datasets.py data/shards/*`.

Without `features` the types are guessed from the first samples, and the next ones do not fit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import datasets


def stream(folders: list[Path], split: str) -> datasets.IterableDataset:
    """Return the samples of sets as rows: __key__, jpg (or png), json, txt."""
    tars = [str(path) for folder in folders for path in sorted((folder / split).glob("*.tar"))]
    if not tars:
        raise SystemExit(f"no tars in the folder {split} of these sets")
    types = json.loads((folders[0] / "features.json").read_text(encoding="utf-8"))
    return datasets.load_dataset(
        "webdataset",
        data_files={split: tars},
        split=split,
        streaming=True,
        features=datasets.Features.from_dict(types),
    )


def main() -> None:
    """Print the number of rows, and the first image and view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+", help="sets of one image format")
    parser.add_argument("--split", default="train")
    flags = parser.parse_args()
    rows = list(stream(flags.shards, flags.split))
    image = next(rows[0][form] for form in ("jpg", "png") if form in rows[0])
    print(f"{len(rows)} rows; the first: {image.size}, {rows[0]['json']['view']}")


if __name__ == "__main__":
    main()
