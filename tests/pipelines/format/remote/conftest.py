"""`server`: an S3 server for the tests of a file; `bucket`: its environment; `made`: a set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import buckets
import pytest

from cxr_vlp.pipelines.format.remote import store
from cxr_vlp.pipelines.format.remote.tars import Cache
from tests.train.conftest import write_source


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with buckets.served() as address:
        yield address


@pytest.fixture
def bucket(server, monkeypatch) -> str:
    """The server's address; the environment names it, and waiting is short."""
    buckets.environment(monkeypatch, server)
    monkeypatch.setattr(store, "WAITS", (0.01, 0.01, 0.01))
    return server


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A set `mock` of three splits with a manifest."""
    pytest.importorskip("cv2")
    sizes = {"train": (5, 4, 3), "validate": (2,), "test": (3,)}
    return buckets.with_manifest(write_source(tmp_path_factory.mktemp("sets"), "mock", sizes))


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache", 1_000_000_000)
