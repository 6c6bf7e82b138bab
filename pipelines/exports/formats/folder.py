"""Plain files: SPLIT/KEY.jpg, SPLIT/KEY.txt, SPLIT/KEY.json, and SPLIT/metadata.parquet.

Programs that take a folder of images with captions read the first two. Hugging Face's `imagefolder`
reads the images and the metadata. The metadata is Parquet because `imagefolder` guesses the types
of CSV and JSON, and a label that no sample of a split has would get another type there. The splits
have the hub's names: `validate` is `validation` here, for a folder `validate` would be ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.formats import columns, flat, readme
from cxr_vlp.pipelines.exports.formats.hugging_face import SPLIT
from cxr_vlp.pipelines.exports.formats.items import Item, items, splits

METADATA = "metadata.parquet"
FILE_NAME = "file_name"  # the column that `imagefolder` needs


class Folder:
    """One folder a split, three files a sample."""

    about = "plain files KEY.jpg, KEY.txt, KEY.json, also for Hugging Face's imagefolder"

    def write(self, request: Request) -> Result:
        """Write the files of every sample and the metadata of every split."""
        result = Result()
        schema = _schema()
        for split in splits(request):
            folder = request.out / SPLIT[split]
            folder.mkdir()
            rows = _rows(folder, items(request, result, split))
            if not _write(folder / METADATA, schema, rows):
                (folder / METADATA).unlink()
                folder.rmdir()
        code = (
            "import datasets\n\n"
            'data = datasets.load_dataset("imagefolder", data_dir=".")  # the path of this folder\n'
            'data["train"][0]["image"], data["train"][0]["text"]'
        )
        body = f"{readme.python(code)}\n\n{columns.markdown(_schema())}"
        readme.write(request, result, self.about, body)
        return result


def _schema() -> pa.Schema:
    """Return the columns of the metadata: those of a flat table; the caption is `text`."""
    names = {"image_path": FILE_NAME, "caption": "text"}
    found = columns.schema(images=True)
    return pa.schema([(names.get(field.name, field.name), field.type) for field in found])


def _rows(folder: Path, found: Iterator[Item]) -> Iterator[dict[str, Any]]:
    for item in found:
        name = f"{item.key}.{item.form}"
        (folder / name).write_bytes(item.image)
        (folder / f"{item.key}.txt").write_bytes(item.caption.encode())
        (folder / f"{item.key}.json").write_bytes(item.json)
        yield columns.row(item) | {FILE_NAME: name, "text": item.caption}


def _write(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> int:
    """Write the metadata; return the number of rows."""
    number = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in flat.batches(rows, schema, flat.BATCH):
            writer.write_batch(batch)
            number += batch.num_rows
    return number
