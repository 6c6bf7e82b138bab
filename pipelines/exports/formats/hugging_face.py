"""A folder for Hugging Face datasets: Parquet with the images in it, and a README.md for a hub.

    datasets.load_dataset("data/exported/hf")

The splits have the hub's names: `validate` is `validation` there. The folder can be pushed to a hub
as it is; the page says so only for collections whose terms allow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from cxr_vlp.pipelines.cards import hub_header
from cxr_vlp.pipelines.exports import terms
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.formats import nested, readme
from cxr_vlp.pipelines.exports.formats.items import Item, items, splits

SPLIT = hub_header.SPLIT_NAMES
FILE = 1 << 28  # bytes of images in a Parquet file
GROUP = 128  # rows of a row group, as small as the viewer of the hub wants them


class HuggingFace:
    """Parquet files that `datasets.load_dataset` opens."""

    about = "Parquet with embedded images and a README.md, for Hugging Face datasets"

    def write(self, request: Request) -> Result:
        """Write data/SPLIT-NUMBER.parquet and README.md."""
        result = Result()
        sizes = {split: _write_split(request, result, split) for split in splits(request)}
        header = f"---\n{yaml.safe_dump(_card(request, result, sizes), sort_keys=False)}---\n"
        code = (
            "import datasets\n\n"
            'data = datasets.load_dataset(".")  # the path of this folder\n'
            'data["train"][0]["image"], data["train"][0]["caption"]'
        )
        readme.write(request, result, self.about, readme.python(code), header)
        return result


def _write_split(request: Request, result: Result, split: str) -> int:
    """Write the files of a split; return the number of bytes of its images and JSON."""
    folder, schema = request.out / "data", nested.columns()
    folder.mkdir(exist_ok=True)
    size = 0
    for number, part in enumerate(_files(items(request, result, split))):
        size += _write_file(folder / f"{SPLIT[split]}-{number:05d}.parquet", schema, part)
    return size


def _files(found: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Yield the samples of one file after another; each must be used up before the next."""
    waiting = next(found, None)
    while waiting is not None:
        first, waiting = waiting, None

        def one(first: Item = first) -> Iterator[Item]:
            nonlocal waiting
            size = len(first.image)
            yield first
            for item in found:
                if size + len(item.image) > FILE:
                    waiting = item
                    return
                size += len(item.image)
                yield item

        yield one()


def _write_file(path: Path, schema: pa.Schema, part: Iterator[Item]) -> int:
    rows: list[dict[str, Any]] = []
    size = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for item in part:
            rows.append(nested.row(item))
            size += len(item.image) + len(item.json)
            if len(rows) == GROUP:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                rows.clear()
        if rows:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return size


def _card(request: Request, result: Result, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the YAML of README.md: licence, configs, features and the number of samples."""
    found = [split for split in SPLIT if result.written[split]]
    files = [{"split": SPLIT[x], "path": f"data/{SPLIT[x]}-*.parquet"} for x in found]
    counts = [
        {"name": SPLIT[x], "num_bytes": sizes[x], "num_examples": result.written[x]} for x in found
    ]
    headers = [each.header for each in request.chosen]
    return {
        **dict(hub_header.licence(headers, terms.NAME)),
        **dict(hub_header.gate(headers)),
        "tags": ["chest-x-ray", "radiology"],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": nested.yaml_features(), "splits": counts},
    }
