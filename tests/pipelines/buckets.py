"""An S3 server on this machine, and sets in its buckets as `shards` publishes them there."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import FaultyProxy

from cxr_vlp.pipelines.format import manifest

KEYS = {
    "AWS_ACCESS_KEY_ID": "lab",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SILENCE = "10"  # seconds until a request without an answer is given up; 30 is the default
BUCKET = "tarlabs"


@functools.cache
def server() -> str:
    """Return the address of the S3 server of this process, which is started at the first call."""
    pytest.importorskip("s3fs")
    made = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    made.start()
    return "http://{}:{}".format(*made.get_host_and_port())


@contextmanager
def served() -> Iterator[str]:
    """Give the bucket, empty, to the tests of a file; yields the address of its server."""
    s3 = client(server())
    s3.create_bucket(Bucket=BUCKET)
    # the tests of other files must leave nothing here
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for row in page.get("Contents", ()):
            s3.delete_object(Bucket=BUCKET, Key=row["Key"])
    yield server()


_ASKED: list[dict[str, str]] = [{}]


def ask_environment() -> None:
    """Make the next place ask the environment again if it changed; the library keeps clients."""
    s3fs = pytest.importorskip("s3fs")
    named = ("AWS_", "CXR_STORE")
    now = {name: value for name, value in os.environ.items() if name.startswith(named)}
    if now != _ASKED[0]:  # a new client takes .2 s of CPU
        s3fs.S3FileSystem.clear_instance_cache()
        _ASKED[0] = now


def client(address: str) -> Any:
    """Return boto3's client of a server."""
    names = ("aws_access_key_id", "aws_secret_access_key", "region_name")
    boto3 = pytest.importorskip("boto3")
    return boto3.client("s3", endpoint_url=address, **dict(zip(names, KEYS.values(), strict=True)))


def environment(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Set the variables that name the server and the keys, and how long its silence lasts."""
    more = {"AWS_ENDPOINT_URL": address, "CXR_STORE_TIMEOUT": SILENCE}
    for name, value in (KEYS | more).items():
        monkeypatch.setenv(name, value)
    ask_environment()


def put(address: str, folder: Path, key: str, bucket: str = BUCKET) -> None:
    """Put all files of a folder below a key, as `aws s3 sync` does."""
    s3 = client(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            s3.put_object(Bucket=bucket, Key=f"{key}/{name}", Body=path.read_bytes())


def publish(address: str, folder: Path, key: str) -> str:
    """Put a set as `shards --out s3://...` publishes it; return the folder of its files."""
    version = manifest.folder_name(manifest.header(folder))
    put(address, folder, f"{key}/{version}")
    data = (folder / manifest.NAME).read_bytes()
    client(address).put_object(Bucket=BUCKET, Key=f"{key}/{manifest.NAME}", Body=data)
    return version


def with_manifest(folder: Path) -> Path:
    """Give the tars of a test's source a manifest with their digests; return the folder."""
    lines = []
    for split in ("train", "validate", "test"):
        for name, samples in json.loads((folder / split / "sizes.json").read_text()).items():
            data = (folder / split / name).read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            lines.append({"name": name, "split": split, "sha256": sha256, "bytes": len(data),
                          "samples": samples})  # fmt: skip
    digest = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    header = {"source": folder.name, "title": folder.name, "digest": digest, "credentialed": False}
    rows = [json.dumps(row) for row in (header, *lines)]
    (folder / manifest.NAME).write_text("\n".join(rows) + "\n")
    return folder


@contextmanager
def standing_before(address: str, fault: Callable[[str, int], str]) -> Iterator[FaultyProxy]:
    """Run a proxy before a server.

    `fault(path, number)` says what happens to the number-th request for a path, without its query.
    """
    proxy = FaultyProxy(address)
    proxy.choose = lambda _, __, path: fault(path, proxy.asked[path.partition("?")[0]])
    try:
        yield proxy
    finally:
        proxy.close()
