"""For CheXzero: images in HDF5, impressions in a CSV with a row for each of them, in its order.

Its dataset class joins the two files by the number of the row alone, and takes the length of the
CSV. A sample without a text is therefore in neither.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.cards import stored
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.executor import pool
from cxr_vlp.pipelines.exports import pixels
from cxr_vlp.pipelines.exports.base import Chosen, Request, Result
from cxr_vlp.pipelines.exports.trainers import items, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables
from cxr_vlp.pipelines.format.sample import LABELS

CHECKED = "github.com/rajpurkarlab/CheXzero, revision 5c341db"
SIDE = 320  # of the squares that its preprocessing makes
_AT_ONCE = 256  # samples of a call of a worker: about 20 MB of results
_GZIP = 1  # level: higher ones are slower and save a few per cent
H5 = {"train": "cxr.h5", "validate": "valid.h5", "test": "test.h5"}
TABLES = {
    "train": "mimic_impressions.csv",
    "validate": "valid_groundtruth.csv",
    "test": "groundtruth.csv",
}


class CheXzero:
    """Writes cxr.h5 and mimic_impressions.csv, and for the other splits .h5 and groundtruth."""

    about = "CheXzero: images of 320 x 320 in HDF5, impressions in a CSV row by row (decodes)"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`.

        Raises ConfigError without h5py, DataError for a broken sample.
        """
        h5py = _h5py()
        writer = Writer(request)
        with tables.writing(request.out) as made:
            keys = {split: _write_rows(made, request, writer, split) for split in H5}
        for split, found in keys.items():
            if found:
                _write_images(h5py, request, split, found)
        tables.page(request.out, "CheXzero", CHECKED, [_commands(made), _NOTES], made)
        return writer.result


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ConfigError('--for chexzero needs h5py: pip install "cxr-vlp[share]"') from None
    return h5py


def _write_rows(made: Tables, request: Request, writer: Writer, split: str) -> list[str]:
    """Write the table of a split; return the keys of its rows."""
    keys = []
    names = items.fields(request, ("impression",))
    columns = _label_columns(request)
    for item in items.of(request, split):
        code, row = _row(item, names, columns)
        if code:
            writer.leave_out(code)
            continue
        made.add(TABLES[split], row)
        writer.count(item)
        keys.append(item.key)
    return keys


def _row(item: Item, names: Sequence[str], columns: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return (code, {}) for a sample that is left out, ("", its row) for others."""
    if item.sample.split == "train":
        text = item.text(names)
        row = {"filename": f"{item.sample.study}.txt", "impression": text, "key": item.key}
        return ("", row) if text else (items.NO_TEXT, {})
    if item.sample.view != "frontal":
        return items.WRONG_VIEW, {}
    if not item.sample.labels:
        return items.NO_LABEL, {}
    # its evaluation takes 0 and 1: what is uncertain or not mentioned counts as absent
    labels = {name: int(item.sample.labels.get(name) == 1) for name in columns}
    return "", {"Study": item.key} | labels


def _label_columns(request: Request) -> list[str]:
    """Return CheXpert's 14 labels, in the order of CheXzero, and others that a sample has."""
    others = [name for name in LABELS if name not in CHEXPERT and _occurs(request, name)]
    return [*sorted(CHEXPERT), *others]


def _occurs(request: Request, name: str) -> bool:
    columns = (each.table.column(f"label_{name}") for each in request.chosen)
    return any(column.null_count < len(column) for column in columns)


def _write_images(h5py: Any, request: Request, split: str, keys: Sequence[str]) -> None:
    """Write `cxr`, (N, 320, 320) float32 of 0 to 255, and `key`, the keys of its rows."""
    side = request.options.get("side") or SIDE
    with h5py.File(request.out / H5[split], "w") as file:
        images = file.create_dataset(
            "cxr",
            shape=(len(keys), side, side),
            dtype="<f4",
            chunks=(1, side, side),
            compression="gzip",
            compression_opts=_GZIP,
            shuffle=True,
        )
        for number, chunk in enumerate(_chunks(request, split, set(keys), side)):
            images.id.write_direct_chunk((number, 0, 0), chunk)
        file.create_dataset("key", data=keys, dtype=h5py.string_dtype())


def _chunks(request: Request, split: str, keys: set[str], side: int) -> Iterator[bytes]:
    """Yield the packed image of each sample with these keys, in the order of the set."""
    calls = [
        functools.partial(_packed, each.folder, part, side)
        for each in request.chosen
        for part in _parts_of(each, split, keys)
    ]
    workers = request.options.get("workers") or 1
    for part in pool.with_progress(calls, workers, "images for CheXzero"):
        yield from part


def _parts_of(chosen: Chosen, split: str, keys: set[str]) -> Iterator[pa.Table]:
    table = chosen.table
    kept = [
        name in keys and of == split
        for name, of in zip(
            table.column("key").to_pylist(), table.column("split").to_pylist(), strict=True
        )
    ]
    table = table.filter(pa.array(kept, pa.bool_()))
    for start in range(0, table.num_rows, _AT_ONCE):
        yield table.slice(start, _AT_ONCE)


def _packed(folder: Path, table: pa.Table, side: int) -> list[bytes]:
    """Return the images of the rows of a table as HDF5 chunks: float32, shuffled, deflated.

    HDF5 itself would deflate them one after another in the process that writes.
    """
    import numpy as np

    squares = (pixels.square(each.image, side) for each in stored.samples(folder, table))
    values = (square.astype("<f4").view(np.uint8).reshape(-1, 4) for square in squares)
    return [zlib.compress(each.T.tobytes(), _GZIP) for each in values]


def _commands(made: Tables) -> str:
    lines = ["EXPORT=$PWD; cd CHEXZERO      # CHEXZERO: your checkout"]
    if TABLES["train"] in made.rows:
        files = f'--cxr_filepath "$EXPORT/{H5["train"]}" --txt_filepath "$EXPORT/{TABLES["train"]}"'
        lines.append(f"python run_train.py {files}")
    text = "\n".join(["```", *lines, "```"])
    if TABLES["test"] in made.rows:
        text += (
            "\n\nIn notebooks/zero_shot.ipynb (EXPORT: the path of this folder):\n\n```\n"
            f'cxr_filepath = f"{{EXPORT}}/{H5["test"]}"\n'
            f'cxr_true_labels_path = f"{{EXPORT}}/{TABLES["test"]}"\n```'
        )
    return text


_NOTES = """
- Row i of `mimic_impressions.csv` is image i of `cxr.h5`; `key` in both says which sample it is.
  Samples without an impression (or the text of --caption) are in neither. CheXzero's own
  preprocessing writes `NO IMPRESSION` for them and trains on it.
- `cxr` has values of 0 to 255 as float32, the longer side 320 (or --side), on black. It is
  compressed by gzip, which HDF5 undoes when it is read.
- `valid.h5`, `test.h5`: frontal images that have labels. In `groundtruth.csv` 1 is positive;
  negative, uncertain and not mentioned are 0. A label without both values has no AUROC: choose
  `cxr_labels`.
"""
