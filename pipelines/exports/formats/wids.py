"""The indexed form of webdataset: tars, and for each split an index for `wids.ShardListDataset`.

The tars are copies, not links: a set that is built again must not change the export. They are
ordinary WebDataset shards, cut as those of the set. The reader is the package `wids`, which
webdataset held before version 1. By default it copies every tar to /tmp/_wids_cache, where others
can read it, and takes that copy also after the tar is replaced. README.md has the line without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.formats import readme
from cxr_vlp.pipelines.exports.formats.items import Item, items, splits
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format.tar import TarWriter

KIND = "wids-shard-index-v1"


class Wids:
    """SPLIT.json and the tars in SPLIT/."""

    about = "tars and an index for random access, for wids.ShardListDataset"

    def write(self, request: Request) -> Result:
        """Write the tars and the index of every split."""
        result = Result()
        for split in splits(request):
            shards = list(_shards(request, items(request, result, split)))
            if shards:
                index = {"__kind__": KIND, "wids_version": 1, "name": split, "shardlist": shards}
                jsonl.write_json(request.out / f"{split}.json", index)
        code = (
            "import wids  # pip install wids\n\n"
            "# in this folder; localname=str: read the tars here, do not copy them to /tmp\n"
            'data = wids.ShardListDataset("train.json", localname=str)\n'
            'data[0][".json"]["caption"], data[0][".jpg"]'
        )
        readme.write(request, result, self.about, readme.python(code))
        return result


def _shards(request: Request, found: Iterator[Item]) -> Iterator[dict[str, Any]]:
    """Write one tar after another, and yield their lines of the index."""
    for (split, name), members in groupby(found, key=lambda item: (item.split, item.row["shard"])):
        path = request.out / split / name
        path.parent.mkdir(exist_ok=True)
        number = _write(path, members)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "md5").hexdigest()
        yield {
            "url": f"{split}/{name}",
            "md5sum": digest,
            "nsamples": number,
            "filesize": path.stat().st_size,
        }


def _write(path: Path, members: Iterator[Item]) -> int:
    number = 0
    with path.open("wb") as stream:
        tar = TarWriter(stream)
        for item in members:
            tar.add(f"{item.key}.{item.form}", item.image)
            tar.add(f"{item.key}.json", item.json)
            tar.add(f"{item.key}.txt", item.caption.encode())
            number += 1
        tar.finish()
    return number
