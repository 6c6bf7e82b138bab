"""A dataset as torchxrayvision's: `python examples/read_with_xrv.py data/shards/*`.

Items are dicts with `img` (1, side, side) float32 in [-1024, 1024] and `lab`, so that models,
relabel_dataset and MergeDataset of torchxrayvision take them.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torchxrayvision as xrv
from PIL import Image

from cxr_vlp.pipelines.cards import sample_table

# torchxrayvision's names where they differ from ours
NAMES = {"Pleural Thickening": "Pleural_Thickening", "Pleural Effusion": "Effusion"}


class Shards(xrv.datasets.Dataset):
    """The samples of a split of a set. An uncertain label (-1) and one not mentioned are NaN."""

    def __init__(self, folder: Path, state: Path, split: str, side: int = 224) -> None:
        super().__init__()
        rows = sample_table.of_set(folder, state).to_pandas()
        self.csv = rows[rows["split"] == split].reset_index(drop=True)
        names = [name for name in self.csv if name.startswith(sample_table.LABEL)]
        values = self.csv[names].to_numpy(np.float32)
        self.labels = np.where(values < 0, np.nan, values)
        ours = [name.removeprefix(sample_table.LABEL) for name in names]
        self.pathologies = [NAMES.get(name, name) for name in ours]
        self.folder, self.split, self.side = folder, split, side

    def string(self) -> str:
        """Return the line that torchxrayvision prints for a dataset."""
        return f"{type(self).__name__} num_samples={len(self)}"

    def __len__(self) -> int:
        return len(self.csv)

    def __getitem__(self, place: int) -> dict:
        row = self.csv.iloc[place]
        with (self.folder / self.split / row["shard"]).open("rb") as tar:
            tar.seek(row["offset"])
            image = Image.open(io.BytesIO(tar.read(row["bytes"])))
        grey = xrv.utils.normalize(np.asarray(image, np.float32), 255)[None]
        cropped = xrv.datasets.XRayCenterCrop()(grey)
        resized = xrv.datasets.XRayResizer(self.side, engine="cv2")(cropped)
        return {"idx": place, "lab": self.labels[place], "img": resized}


def main() -> None:
    """Align the sets with the labels of torchxrayvision's models, merge them, print the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--split", default="train")
    parser.add_argument("--state", type=Path, default=Path(".cxr"))
    flags = parser.parse_args()
    sets = [Shards(folder, flags.state, flags.split) for folder in flags.shards]
    for each in sets:
        xrv.datasets.relabel_dataset(xrv.datasets.default_pathologies, each, silent=True)
    merged = xrv.datasets.MergeDataset(sets)
    item = merged[0]
    low, high = item["img"].min(), item["img"].max()
    print(f"{len(merged)} images of {item['img'].shape}, {merged.labels.shape[1]} labels")
    assert -1024 <= low < high <= 1024


if __name__ == "__main__":
    main()
