"""Flat tables with a row a sample: CSV, JSON lines and Parquet, images as files beside them.

CSV: all texts are in quotes, so `""` is an empty text and an empty field is null; lists are JSON.
A cell that begins with = or - is not changed: a report may begin so, and a program must read what
was written. A spreadsheet would take such a cell for a formula: open the file there as text only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from cxr_vlp.pipelines.exports.base import Chosen, Request, Result
from cxr_vlp.pipelines.exports.formats import columns, readme
from cxr_vlp.pipelines.exports.formats.items import Item, items

BATCH = 4096  # rows that are in memory at once
PICTURES = 256  # rows of a row group that holds images: about 20 MB

Rows = Iterator[dict[str, Any]]


class Csv:
    """samples.csv: one line a sample."""

    about = "samples.csv, one row a sample, and image files"

    def write(self, request: Request) -> Result:
        """Write samples.csv and the images."""
        code = (
            'frame = pandas.read_csv("samples.csv", dtype=str, keep_default_na=False)\n'
            'labels = frame.filter(regex="^label_").apply(pandas.to_numeric)  # NaN: not mentioned'
        )
        return _write(
            request, self.about, "samples.csv", _write_csv, _CSV_NOTE + readme.python(code)
        )


class Jsonl:
    """samples.jsonl: one JSON object a line, in UTF-8."""

    about = "samples.jsonl, one JSON object a sample, and image files"

    def write(self, request: Request) -> Result:
        """Write samples.jsonl and the images."""
        code = 'rows = [json.loads(line) for line in open("samples.jsonl", encoding="utf-8")]'
        return _write(request, self.about, "samples.jsonl", _write_jsonl, readme.python(code))


class Parquet:
    """samples.parquet: typed columns."""

    about = "samples.parquet, one row a sample, and image files (or --embed-images)"

    def write(self, request: Request) -> Result:
        """Write samples.parquet, with the images in it or beside it."""
        code = 'table = pyarrow.parquet.read_table("samples.parquet")'
        return _write(request, self.about, "samples.parquet", _write_parquet, readme.python(code))


_CSV_NOTE = (
    'Texts are in quotes: `""` is an empty text, and an empty field is null. `notes` and\n'
    "`labels_other` are JSON. Ids are texts: read them as such, or leading zeros are lost. A text\n"
    "may begin with = or -: import the file into a spreadsheet as text only.\n\n"
)


def _write(
    request: Request,
    about: str,
    name: str,
    writer: Callable[[Path, pa.Schema, Rows], None],
    reading: str,
) -> Result:
    result = Result()
    images, embed = request.options["images"], request.options["embed"]
    schema = columns.schema(images=images, embed=embed)
    writer(request.out / name, schema, _rows(request, result))
    where = "" if images else _IN_TARS
    readme.write(request, result, about, f"{reading}\n\n{where}{columns.markdown(schema)}")
    return result


_IN_TARS = (
    "An image is one read away: `tar` is its file below the folder of the sets.\n\n"
    + readme.python(
        'with open(f"{sets}/{row.tar}", "rb") as tar:\n'
        "    tar.seek(row.offset)\n"
        "    image = tar.read(row.bytes)"
    )
    + "\n\n"
)


def _rows(request: Request, result: Result) -> Rows:
    """Yield the rows of all samples; write their images on the way."""
    images, embed = request.options["images"], request.options["embed"]
    for each in request.chosen:
        part = Request((each,), request.out, request.options)
        for item in items(part, result):
            yield columns.row(item) | _image(each, item, request.out, images=images, embed=embed)


def _image(chosen: Chosen, item: Item, out: Path, *, images: bool, embed: bool) -> dict[str, Any]:
    if embed:
        return {"image": item.image}
    if not images:
        place = "/".join(filter(None, (chosen.place, item.split, item.row["shard"])))
        return {"tar": place, "offset": item.row["offset"], "bytes": item.row["bytes"]}
    name = f"images/{item.split}/{item.key}.{item.form}"
    folder = out / "images" / item.split
    folder.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(item.image)
    return {"image_path": name}


def batches(rows: Rows, schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
    """Yield rows as batches of at most `size` rows."""
    while part := list(islice(rows, size)):
        yield pa.RecordBatch.from_pylist(part, schema=schema)


def _write_csv(path: Path, schema: pa.Schema, rows: Rows) -> None:
    lists = [field.name for field in schema if pa.types.is_list(field.type)]
    kinds = {name: pa.string() for name in lists}
    flat = pa.schema([(field.name, kinds.get(field.name, field.type)) for field in schema])
    plain = (row | {name: _json(row[name]) for name in lists} for row in rows)
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    with pyarrow.csv.CSVWriter(path, flat, write_options=options) as writer:
        for batch in batches(plain, flat, BATCH):
            writer.write_batch(batch)


def _write_jsonl(path: Path, schema: pa.Schema, rows: Rows) -> None:
    names = schema.names
    with path.open("wb") as stream:
        for row in rows:
            stream.write(_json({name: row[name] for name in names}).encode() + b"\n")


def _write_parquet(path: Path, schema: pa.Schema, rows: Rows) -> None:
    size = PICTURES if "image" in schema.names else BATCH
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches(rows, schema, size):
            writer.write_batch(batch, row_group_size=size)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
