"""The optimised form of litdata: DIR/SPLIT/index.json and chunks, written by its own writer.

A sample is {"image", "caption", "json", "key"}. The image is stored as it is, and litdata reads it
as a uint8 tensor (3, height, width) of three equal channels. `json` is the text of the JSON member.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.formats import readme
from cxr_vlp.pipelines.exports.formats.items import Item, items, splits

CHUNK = 1 << 26  # bytes, as litdata's own `optimize` takes it in its examples


class Litdata:
    """SPLIT/index.json and SPLIT/chunk-0-NUMBER.bin."""

    about = "chunks for litdata's StreamingDataset"

    def write(self, request: Request) -> Result:
        """Write the chunks of every split. Raises ConfigError if litdata is not installed."""
        _library()
        result = Result()
        for split in splits(request):
            _write(request.out / split, items(request, result, split))
        code = (
            "import json\n\nimport litdata\n\n"
            'data = litdata.StreamingDataset("train")  # with the path of this folder\n'
            'data[0]["image"], data[0]["caption"], json.loads(data[0]["json"])["labels"]'
        )
        readme.write(request, result, self.about, readme.python(code))
        return result


def _library() -> Any:
    """Return (the writer, the type of a stored JPEG)."""
    try:
        # imported here: litdata imports torch
        from litdata.streaming.writer import BinaryWriter
        from litdata.types import Jpeg
    except ImportError:
        raise ConfigError(
            '--to litdata needs the package litdata: pip install "cxr-vlp[share]"'
        ) from None
    return BinaryWriter, Jpeg


def _write(folder: Path, found: Iterator[Item]) -> None:
    first = next(found, None)
    if first is None:
        return  # the writer would leave a folder that cannot be read
    binary_writer, jpeg = _library()
    writer = binary_writer(str(folder), chunk_bytes=CHUNK)
    for number, item in enumerate(chain((first,), found)):
        writer[number] = {
            # without max_quality it would decode PNG and fine JPEG and store them at quality 95
            "image": jpeg(bytes=item.image, max_quality=None),
            "caption": item.caption,
            "json": item.json.decode(),
            "key": item.key,
        }
    writer.done()
    writer.merge(1)
    _without_time(folder / "index.json")


def _without_time(path: Path) -> None:
    """Replace the time in the index by a digest: readers use it only to name their cache."""
    index = json.loads(path.read_bytes())
    del index["updated_at"]
    digest = hashlib.sha256(json.dumps(index, sort_keys=True).encode())
    for chunk in index["chunks"]:
        digest.update((path.parent / chunk["filename"]).read_bytes())
    index["updated_at"] = digest.hexdigest()[:16]
    path.write_text(json.dumps(index, sort_keys=True))
