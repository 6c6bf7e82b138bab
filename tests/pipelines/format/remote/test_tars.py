"""The cache of tars: what has a tar's name is whole, whoever fetches, fails or makes room."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace

import buckets
import pytest

from cxr_vlp.pipelines.format.errors import FormatError, StoreError
from cxr_vlp.pipelines.format.remote import store, tars
from cxr_vlp.pipelines.format.remote.tars import Cache, RemoteTar

SIZE = 1000


def body(name: str) -> bytes:
    return hashlib.sha512(name.encode()).digest() * 16 + b"." * (SIZE - 1024 + 24)


@pytest.fixture
def tar(bucket, cache, monkeypatch):
    """A function that puts a tar of 1,000 bytes and returns it."""
    monkeypatch.setattr(store, "CHUNK", 300)

    def made(name: str, within: Cache = cache, *, known: bool = True) -> RemoteTar:
        data = body(name)[:SIZE]
        buckets.client(bucket).put_object(Bucket=buckets.BUCKET, Key=f"t/{name}", Body=data)
        address = f"s3://{buckets.BUCKET}/t/{name}"
        sha256 = hashlib.sha256(data).hexdigest() if known else ""
        return RemoteTar(address, SIZE, sha256, store.identity(address)[1], within)

    return made


def held(cache: Cache) -> set[str]:
    return {path.name for path in cache.folder.glob("??/*")}


def read(found: RemoteTar) -> bytes:
    with found.open() as stream:
        return stream.read()


@pytest.mark.parametrize("known", [True, False], ids=["digest", "identity"])
def test_a_tar_is_fetched_once_and_readable_by_its_owner_alone(tar, bucket, monkeypatch, known):
    one = tar("one", known=known)
    with buckets.standing_before(bucket, lambda *_: "") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        assert [read(one) for _ in range(3)] == [body("one")[:SIZE]] * 3
        assert proxy.asked["/tarlabs/t/one"] == (
            4 if known else 5
        )  # four pieces, once; its identity
    assert one.fetched().stat().st_mode & 0o777 == 0o600
    assert one.fetched().parent.stat().st_mode & 0o777 == 0o700


def test_the_same_bytes_at_another_address_are_not_fetched_again(tar, bucket, monkeypatch):
    one = tar("one")
    read(one)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert read(replace(one, address="s3://tarlabs/new/version")) == body("one")[:SIZE]


@pytest.mark.parametrize("known", [True, False])
def test_an_object_with_other_bytes_of_the_same_size_is_refused(tar, bucket, cache, known):
    one = tar("one", known=known)
    buckets.client(bucket).put_object(Bucket="tarlabs", Key="t/one", Body=body("two")[:SIZE])
    with pytest.raises(FormatError if known else StoreError, match=r"not the tar|was replaced"):
        one.open()
    assert held(cache) == set()


@pytest.mark.parametrize("how", ["fetched", "as it arrives"])
def test_an_object_that_vanishes_says_why_and_what_to_do(tar, bucket, cache, how):
    one = tar("one")
    buckets.client(bucket).delete_object(Bucket="tarlabs", Key="t/one")
    with pytest.raises(StoreError, match=r"published again.*start the command again"):
        one.open() if how == "fetched" else one.stream().read()
    assert held(cache) == set()


def test_a_fetch_that_fails_leaves_nothing_and_the_next_one_is_whole(tar, cache, monkeypatch):
    one, whole = tar("one"), store.chunks

    def cut(address: str, size: int):
        yield next(whole(address, size))
        raise StoreError("lost")

    monkeypatch.setattr(store, "chunks", cut)
    with pytest.raises(StoreError, match="lost"):
        one.open()
    assert held(cache) == set()
    monkeypatch.setattr(store, "chunks", whole)
    assert read(one) == body("one")[:SIZE]


def test_what_a_killed_process_left_is_never_read(tar, cache, bucket):
    one = tar("one")
    code = (
        "import os, signal, sys\n"
        "from cxr_vlp.pipelines.format.remote import store, tars\n"
        "from pathlib import Path\n"
        "def chunks(address, size):\n"
        "    yield b'x' * 600\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.chunks = chunks\n"
        f"cache = tars.Cache(Path({str(cache.folder)!r}), 10**9)\n"
        f"tars.RemoteTar({one.address!r}, {SIZE}, {one.sha256!r}, '', cache).open()\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert {name.rpartition(".")[2] for name in held(cache)} == {"part"}
    assert read(one) == body("one")[:SIZE]
    assert {name.rpartition(".")[2] for name in held(cache)} == {"tar"}


def test_a_cut_file_in_the_cache_is_fetched_again(tar):
    one = tar("one")
    os.truncate(one.fetched(), SIZE - 1)
    assert read(one) == body("one")[:SIZE]


def test_several_who_want_a_tar_at_once_fetch_it_once(tar, bucket, monkeypatch):
    one, found = tar("one"), []
    start = threading.Barrier(5)

    def reader() -> None:
        start.wait()
        found.append(read(one))

    with buckets.standing_before(bucket, lambda *_: "") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        readers = [threading.Thread(target=reader) for _ in range(5)]
        for each in readers:
            each.start()
        for each in readers:
            each.join()
        assert found == [body("one")[:SIZE]] * 5
        assert proxy.asked["/tarlabs/t/one"] == 4


@pytest.mark.parametrize(("limit", "left"), [(2 * SIZE, "ac"), (3 * SIZE, "abc")])
def test_the_least_recently_read_goes_first_and_not_before_it_must(tar, tmp_path, limit, left):
    cache = Cache(tmp_path / "small", limit)
    found = {name: tar(name, cache) for name in "abc"}
    for name in "aba":
        read(found[name])
        time.sleep(0.01)
    with found["b"].open() as stream:  # b was read last but one; it is being read again
        os.utime(found["b"].fetched(), ns=(1, 1))
        read(found["c"])
        assert stream.read() == body("b")[:SIZE]  # also where its name is gone
    assert {name for name in "abc" if f"{found[name].sha256}.tar" in held(cache)} == set(left)
    assert read(found["b"]) == body("b")[:SIZE]


def test_a_tar_that_fills_the_cache_is_kept_and_a_larger_one_is_refused(tar, tmp_path):
    assert read(tar("one", Cache(tmp_path / "full", SIZE))) == body("one")[:SIZE]
    with pytest.raises(StoreError, match=r"does not fit in its .*--shard-cache-size"):
        tar("one", Cache(tmp_path / "less", SIZE - 1)).open()


def test_what_a_killed_process_left_makes_room_and_what_is_written_stays(tar, tmp_path):
    cache = Cache(tmp_path / "small", SIZE)
    left, written = cache.folder / "aa" / "left.part", cache.folder / "bb" / "written.part"
    for path in (left, written):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 10)
    with tars._claimed(written):
        read(tar("one", cache))
        assert (left.exists(), written.exists()) == (False, True)


def test_a_full_disk_is_named_with_the_remedy(tar, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 5, tars._FREE + SIZE - 1))
    with pytest.raises(StoreError, match=r"the disk is full.*--shard-cache"):
        tar("one").open()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 5, tars._FREE + SIZE))
    assert read(tar("one")) == body("one")[:SIZE]


def test_a_cache_that_cannot_be_written_is_named(tar, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file: .*--shard-cache"):
        tar("one", Cache(tmp_path / "file", SIZE)).open()


def test_the_variables_name_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tars.default() == Cache(tmp_path / "cxr-vlp" / "shards", 64_000_000_000)
    monkeypatch.setenv(tars.FOLDER_VARIABLE, str(tmp_path / "x"))
    monkeypatch.setenv(tars.SIZE_VARIABLE, "0.5")
    assert tars.default() == Cache(tmp_path / "x", 500_000_000)
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv(tars.SIZE_VARIABLE, wrong)
        with pytest.raises(ValueError, match=r"cache|float"):
            tars.default()
