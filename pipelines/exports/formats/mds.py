"""MDS, the format of mosaicml-streaming: DIR/SPLIT/index.json and shards.

The library cannot be installed beside ours (it needs xxhash before version 4), so the format is
written here: mosaicml-streaming 0.13, `streaming/base/format/mds/writer.py`. A shard is

    number of samples (uint32), their offsets and the end (uint32 each), its description in JSON,
    samples: sizes of the columns (uint32 each), then the columns in the order of their names

Numbers are little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.formats import readme
from cxr_vlp.pipelines.exports.formats.items import Item, items, splits

SHARD = 1 << 26  # bytes, the library's own limit
# the library decodes "jpeg" with Pillow, by the content: a PNG under this name is read as well
COLUMNS = {"caption": "str", "image": "jpeg", "json": "json", "key": "str"}
_WORD = 4  # bytes of a uint32
_SHARED: dict[str, Any] = {  # of every shard's description
    "column_encodings": list(COLUMNS.values()),
    "column_names": list(COLUMNS),
    "column_sizes": [None] * len(COLUMNS),
    "compression": None,
    "format": "mds",
    "hashes": [],
    "size_limit": SHARD,
    "version": 2,
}
_DESCRIPTION = json.dumps(_SHARED, sort_keys=True).encode()


class Mds:
    """SPLIT/index.json and SPLIT/shard.NUMBER.mds."""

    about = "MDS shards, for mosaicml-streaming's StreamingDataset"

    def write(self, request: Request) -> Result:
        """Write the shards of every split."""
        result = Result()
        for split in splits(request):
            folder = request.out / split
            shards = list(_write(folder, map(_encoded, items(request, result, split))))
            if shards:
                index = json.dumps({"shards": shards, "version": 2}, sort_keys=True)
                (folder / "index.json").write_text(index)
        code = (
            "from streaming import StreamingDataset  # pip install mosaicml-streaming\n\n"
            'data = StreamingDataset(local=".", split="train", batch_size=32)\n'
            'data[0]["image"], data[0]["caption"], data[0]["json"]["labels"]'
        )
        readme.write(request, result, self.about, readme.python(code))
        return result


def _encoded(item: Item) -> bytes:
    """Return a sample: the sizes of its columns, and the columns."""
    columns = (item.caption.encode(), item.image, item.json, item.key.encode())
    return b"".join((_words(*map(len, columns)), *columns))


def _write(folder: Path, samples: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Write one shard after another, and yield their lines of the index."""
    for number, part in enumerate(_parts(samples)):
        folder.mkdir(exist_ok=True)
        name = f"shard.{number:05d}.mds"
        size = (folder / name).write_bytes(_shard(part))
        data = {"basename": name, "bytes": size, "hashes": {}}
        yield {**_SHARED, "raw_data": data, "samples": len(part), "zip_data": None}


def _parts(samples: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the samples of each shard: as many as fit into it, at least one."""
    empty = 2 * _WORD + len(_DESCRIPTION)
    part: list[bytes] = []
    size = empty
    for sample in samples:
        if part and size + len(sample) + _WORD > SHARD:
            yield part
            part, size = [], empty
        part.append(sample)
        size += len(sample) + _WORD
    if part:
        yield part


def _shard(samples: list[bytes]) -> bytes:
    head = _WORD * (len(samples) + 2) + len(_DESCRIPTION)
    places = accumulate(map(len, samples), initial=head)
    return b"".join((_words(len(samples)), _words(*places), _DESCRIPTION, *samples))


def _words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)
