"""Ray Data: `python examples/read_with_ray.py data/shards/nih`.

The JSON member is kept as bytes: Ray makes columns of it otherwise, and a label that is not
mentioned has no key.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import ray.data
from PIL import Image


def parsed(row: dict) -> dict:
    """Return the image (side, side) uint8, the caption and some fields of a stored sample."""
    document = json.loads(row["json"])
    image = Image.open(io.BytesIO(row["jpg"] if "jpg" in row else row["png"])).resize((64, 64))
    return {
        "key": row["__key__"],
        "image": np.asarray(image),
        "caption": row["txt"].decode(),
        "view": document["view"],
        "no_finding": document["labels"].get("No Finding", np.nan),
    }


def dataset(folders: list[Path], split: str) -> ray.data.Dataset:
    """Return the samples of a split of sets."""
    tars = [str(path) for folder in folders for path in sorted((folder / split).glob("*.tar"))]
    if not tars:
        raise SystemExit(f"no tars in the folder {split} of these sets")
    return ray.data.read_webdataset(tars, decoder=None).map(parsed)


def main() -> None:
    """Print the number of rows by view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--split", default="train")
    flags = parser.parse_args()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = dataset(flags.shards, flags.split).take_all()
    views = sorted({row["view"] for row in rows})
    print(f"{len(rows)} rows of {rows[0]['image'].shape}, views: {', '.join(views)}")
    ray.shutdown()


if __name__ == "__main__":
    main()
