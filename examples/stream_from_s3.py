"""Sets on an object store in the loaders of other projects, without a copy on disk.

    python examples/stream_from_s3.py webdataset $(cxr-vlp urls s3://bucket/shards/nih)
    python examples/stream_from_s3.py datasets $(cxr-vlp urls s3://bucket/shards/nih)

open_clip's trainer takes the addresses too, after `register`; it counts no samples there, so it
needs --train-num-samples:

    python examples/stream_from_s3.py open_clip --dataset-type webdataset \\
        --train-data "$(cxr-vlp urls s3://bucket/shards/nih --join ::)" --train-num-samples 9000 ...

Keys and endpoint come from the environment (AWS_PROFILE, AWS_ENDPOINT_URL ...). webdataset and
open_clip do not notice an object that is not the set's: `cxr-vlp verify s3://...` does.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import webdataset as wds
from webdataset.gopen import gopen_schemes

# Else s3fs waits for a store that never answers for half an hour: its attempts times its library's.
PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 1}}


def open_s3(url: str, mode: str = "rb", *_: Any, **__: Any) -> BinaryIO:
    """Return an object of a store as a stream; a store that is silent for 2 minutes is an error."""
    file = fsspec.open(url, mode, config_kwargs=PATIENCE)
    file.fs.retries = 2  # each read of a stream squares it
    return file.open()


def register() -> None:
    """Let webdataset open addresses in this process and in its workers."""
    gopen_schemes["s3"] = open_s3


def with_webdataset(urls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the samples: __key__, jpg (or png), json, txt, as bytes."""
    register()
    yield from wds.WebDataset(list(urls), shardshuffle=False, empty_check=False)


def with_datasets(urls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of Hugging Face datasets; the types are those of the set's features.json."""
    import json

    import datasets
    import s3fs

    class Streamed(s3fs.S3FileSystem):
        """datasets passes a block size, which s3fs does not take."""

        def __init__(self, *words: Any, **more: Any) -> None:
            more.pop("block_size", None)
            super().__init__(*words, **more)

    fsspec.register_implementation("s3", Streamed, clobber=True)
    with fsspec.open(f"{urls[0].rsplit('/', 2)[0]}/features.json") as file:
        features = datasets.Features.from_dict(json.load(file))
    yield from datasets.load_dataset(
        "webdataset", data_files=list(urls), split="train", streaming=True, features=features
    )


def main(words: Sequence[str]) -> None:
    """Count the samples, or run open_clip's trainer."""
    way, *rest = words
    if way == "open_clip":
        register()
        sys.argv = ["train_with_open_clip.py", *rest]
        runpy.run_path(str(Path(__file__).with_name(sys.argv[0])), run_name="__main__")
        return
    read = {"webdataset": with_webdataset, "datasets": with_datasets}[way]
    print(f"{sum(1 for _ in read(rest))} samples")


if __name__ == "__main__":
    main(sys.argv[1:])
