"""Services of engines: a job service of Beam with worker pools, and an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import buckets
import pools
import pytest
import s3fs

from cxr_vlp.pipelines.storage.place import place


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pools.Services]:
    """Pools that share the disk with the driver."""
    with pools.serving(tmp_path_factory.mktemp("services")) as found:
        yield found


@pytest.fixture(scope="module")
def store() -> Iterator[Path]:
    """A bucket of an S3 server on this machine, to which the environment leads."""
    with buckets.served() as address, pytest.MonkeyPatch.context() as patch:
        buckets.environment(patch, address)
        s3fs.S3FileSystem.clear_instance_cache()
        yield place(f"s3://{buckets.BUCKET}")


@pytest.fixture(scope="module")
def apart(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pools.Services]:
    """Pools that see an empty disk where the driver has its folders; they know the store."""
    wrapped = pools.apart(tmp_path_factory.getbasetemp())
    with pools.serving(tmp_path_factory.mktemp("apart"), *wrapped) as found:
        yield found
