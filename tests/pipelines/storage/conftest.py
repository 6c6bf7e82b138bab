"""Fixtures of object stores.

s3        the address of an empty bucket of an S3 server on this machine (moto)
stores    a folder of each kind of store in turn: a disk, memory://, s3://
server    the S3 server, one for all tests of a process (buckets.py)
proxy     a server between the client and the S3 server, with faults
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import buckets
import pytest
from faulty_proxy import FaultyProxy

from cxr_vlp.pipelines.format.remote import store
from cxr_vlp.pipelines.storage.place import place

KEY, SECRET = "AKIAEXAMPLEKEY", "secret-of-the-test"


@pytest.fixture(scope="session")
def server() -> str:
    """The address of the S3 server."""
    return buckets.server()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket; the environment leads to its server."""
    environment = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CXR_STORE_TIMEOUT": "5",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    buckets.ask_environment()
    monkeypatch.setattr(store, "WAITS", (0.01,) * 4)  # enough where one of four requests fails
    return f"s3://{bucket}"


@pytest.fixture(params=["disk", "memory", "s3"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of each kind of store."""
    if request.param == "disk":
        return tmp_path / "store"
    if request.param == "memory":
        return place(f"memory://{uuid.uuid4().hex}/store")
    return place(f"{request.getfixturevalue('s3')}/store")


@pytest.fixture
def proxy(s3: str, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy in front of the server, to which the environment leads."""
    made = FaultyProxy(server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.address)
    buckets.ask_environment()
    yield made
    made.close()
