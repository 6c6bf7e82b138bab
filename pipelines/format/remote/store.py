"""Lists, reads and removes the objects of a store through fsspec: file systems and messages.

An object is named by its address, `s3://bucket/folder/name`. Keys, endpoints and profiles come from
the environment, as for other tools (AWS_PROFILE, AWS_ENDPOINT_URL ...). What is said of a fault is
in faults.py, how long a store is waited for in patience.py. The errors raised here name the whole
address, which is that of a set; who reads what may have ids in its name (a raw tree) uses `pieces`,
`below` and `opened`, and says less.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from cxr_vlp.pipelines.format.errors import AbsentError, StoreError
from cxr_vlp.pipelines.format.remote import addresses, faults, patience
from cxr_vlp.pipelines.format.remote.patience import SILENCE_VARIABLE

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before the second, third ... attempt
CHUNK = 8 << 20  # bytes of one request
AT_ONCE = 4  # pieces of an object that are asked for at the same time: 32 MiB of memory
# Bytes that a read of a stream asks for. s3fs's default, 50 MiB, would be read again at every seek.
BLOCK = 8 << 20
PAYS_VARIABLE = "CXR_REQUESTER_PAYS"  # 1: the account that asks pays, where a bucket wants it
CONNECTIONS = 64  # of a process at most

T = TypeVar("T")


class Entry(NamedTuple):
    """What a folder of a store holds: an object, or a folder below it."""

    name: str
    folder: bool
    size: int  # bytes; 0 for a folder
    identity: str  # changes with the object's bytes (ETag, generation); "" for a folder


def listing(address: str) -> list[Entry]:
    """Return what lies right below an address, by name. Raises AbsentError where nothing does."""
    found = _asked(address, lambda fs: fs.ls(address, detail=True))
    own = address.partition("://")[2]
    entries = [_entry(row) for row in found if row["name"].rstrip("/") != own]
    return sorted(entry for entry in entries if entry.name not in ("", ".", ".."))


def read(address: str) -> bytes:
    """Return the bytes of a small object."""
    return _asked(address, partial(whole, name=address))


def whole(fs: Any, name: str) -> bytes:
    """Return the bytes of an object, by one request: all of one version. Raises the library's."""
    return bytes(fs.cat_file(name, max_concurrency=1))


def chunks(address: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of an object of `size` bytes, in order; the next pieces come meanwhile.

    A piece that arrives cut or not at all is asked for again: an object is never read short. Raises
    StoreError, AbsentError.
    """
    try:
        yield from pieces(address, size)
    except Exception as error:
        raise _told(error, address) from None


def pieces(address: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of an object as `chunks` does. Raises what the library raises."""
    fs, name = opened(address)
    first, *rest = [(at, min(size, at + CHUNK)) for at in range(0, size, CHUNK)] or [(0, 0)]
    found = _piece(fs, name, *first) if size else b""  # alone: a store that fails is asked once
    waiting: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for span in rest:
            waiting.append(pool.submit(_piece, fs, name, *span))
            if len(waiting) >= AT_ONCE:
                yield found
                found = waiting.popleft().result()
        yield found
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def identity(address: str) -> tuple[int, str]:
    """Return (bytes, identity) of an object as it is now."""
    row = _entry(_asked(address, lambda fs: fs.info(address)))
    return row.size, row.identity


def below(address: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name below the address, size, ETag, time) of all objects below it, in any order.

    Those of S3 come page by page: `find` keeps all of them, and takes their square. Raises what the
    library raises.
    """
    fs, top = opened(address)
    if not hasattr(fs, "call_s3"):
        for each in again(fs, lambda: fs.find(top, detail=True)).values():
            if (name := each["name"].lstrip("/")).startswith(f"{top}/"):
                yield name[len(top) + 1 :], each
        return
    token: dict[str, str] = {}
    key = top.partition("/")[2]
    start = len(key) + 1 if key else 0
    while True:
        found = page(address, **token)
        for each in found.get("Contents", ()):
            yield each["Key"][start:], {name.lower(): value for name, value in each.items()}
        if not found.get("IsTruncated"):
            return
        token = {"ContinuationToken": found["NextContinuationToken"]}


def remove(found: Sequence[str]) -> None:
    """Ask for the removal of objects of one bucket; which of them are left, a listing says.

    Not by `fs.rm`: it takes a name with `*`, `?` or `[` for a pattern.
    """
    for start in range(0, len(found), 1000):
        several = [opened(address) for address in found[start : start + 1000]]
        fs = several[0][0]
        if hasattr(fs, "call_s3"):
            bucket = several[0][1].partition("/")[0]
            keys = [{"Key": name.partition("/")[2]} for _, name in several]
            fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        else:
            for _, name in several:
                fs.rm_file(name)


def page(address: str, **asked: Any) -> Any:
    """Return a page of the objects of S3 below an address: the first, or the one after a token."""
    fs, top = opened(address)
    bucket, _, key = top.partition("/")
    prefix = f"{key}/" if key else ""
    return fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **asked, **fs.req_kw)


def _piece(fs: Any, name: str, start: int, end: int) -> bytes:
    def ask() -> bytes:
        data = bytes(fs.cat_file(name, start=start, end=end))
        if len(data) != end - start:
            raise ConnectionError("cut")
        return data

    return again(fs, ask)


def _entry(row: dict[str, Any]) -> Entry:
    name = row["name"].rstrip("/").rpartition("/")[2]
    if row["type"] == "directory":
        return Entry(name, True, 0, "")
    marks = (row.get(key) for key in ("ETag", "etag", "generation", "md5Hash", "LastModified"))
    return Entry(name, False, int(row["size"]), str(next(filter(None, marks), "")).strip('"'))


def again(fs: Any, ask: Callable[[], T]) -> T:
    """Return what `ask` returns; ask again, after growing pauses, where that may help.

    Raises the last exception as it is. A request to S3 is tried again by the file system itself.
    """
    if hasattr(fs, "call_s3"):
        return ask()
    return patience.again(ask, patience.policy(WAITS).pauses())


def _asked(address: str, work: Callable[[Any], T]) -> T:
    """Return what `work` returns for the store's file system. Raises StoreError, AbsentError."""
    fs, _ = opened(address)
    try:
        return again(fs, lambda: work(fs))
    except Exception as error:
        raise _told(error, address) from None


def _told(error: Exception, address: str) -> Exception:
    """Return the error that says what is wrong and what to do, without the library's own words."""
    if isinstance(error, StoreError):
        return error
    text = faults.message(error)
    if faults.code(error) == "NoSuchBucket":
        return AbsentError(f"{address}: {text}")
    if text or not isinstance(error, FileNotFoundError):
        return StoreError(f"{address}: {text or faults.CUT}")
    return AbsentError(f"{address}: there is nothing of this name in the store")


def check_environment() -> None:
    """Raise ValueError for a variable that is no number."""
    patience.policy(WAITS)


def opened(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the name there: BUCKET/KEY.

    One for each process, account and set of variables: a forked process must not use its parent's,
    whose connections run in a thread of the parent. Raises StoreError if its library is absent,
    ValueError for a variable that is no number.
    """
    named = ("AWS_", "GOOGLE_", "AZURE_", SILENCE_VARIABLE, PAYS_VARIABLE)
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith(named)))
    scheme = addresses.scheme_of(address)
    # an address of Azure names the account; else the buckets of an account share a session
    base = "/".join(address.split("/", 3)[:3]) if "@" in address else f"{scheme}://"
    try:
        fs = _made(base, os.getpid(), settings)
    except ImportError:
        raise StoreError(addresses.package_missing(scheme)) from None
    return fs, str(fs._strip_protocol(address)).strip("/")


@lru_cache(maxsize=64)
def _made(base: str, _process: int, _settings: tuple[tuple[str, str], ...]) -> Any:
    import fsspec

    scheme = addresses.scheme_of(base)
    # another process may change the store at any time: no listing is remembered
    common = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "s3":
        return _patient()(session=_session(), **common, **_of_s3(patience.policy(WAITS)))
    return fsspec.url_to_fs(base, **({} if scheme == "memory" else common))[0]


def _session() -> Any:
    """Return a session that reads the library's descriptions of S3 once for all its processes.

    They are data alone, and take most of the start of a client: each worker of a loader has one. A
    forked process must share nothing else.
    """
    session = import_module("aiobotocore.session").AioSession()
    session.register_component("data_loader", _descriptions())
    return session


@lru_cache(maxsize=1)
def _descriptions() -> Any:
    return import_module("aiobotocore.session").AioSession().get_component("data_loader")


def _of_s3(policy: patience.Policy) -> dict[str, Any]:
    """Return what the file system of S3 is made with."""
    return {
        "default_block_size": BLOCK,
        "requester_pays": os.environ.get(PAYS_VARIABLE, "") not in ("", "0"),
        "config_kwargs": {
            "connect_timeout": policy.connect,
            "read_timeout": policy.silence,
            "retries": {"mode": "standard", "total_max_attempts": 1},  # else attempts multiply
            # a request that waits for a connection moves no byte
            "max_pool_connections": CONNECTIONS,
        },
    }


@lru_cache(maxsize=1)
def _patient() -> Any:
    """Return s3fs's file system, whose requests follow the policy of patience.py."""
    from fsspec import get_filesystem_class
    from fsspec.asyn import sync_wrapper
    from fsspec.exceptions import FSTimeoutError

    library: Any = get_filesystem_class("s3")

    class Patient(library):
        retries = 1
        given_up = -math.inf  # when the store last did not answer

        async def _call_s3(self, method: str, *more: Any, **asked: Any) -> Any:
            lately = time.monotonic() - self.given_up < patience.LONGEST
            policy = patience.policy(WAITS, once=lately)
            try:
                answer = await patience.awaited(
                    lambda: self._attempt(policy, method, more, asked), policy.pauses()
                )
            except Exception as error:
                if faults.silent(error):
                    self.given_up = time.monotonic()
                if method == "head_object" and faults.is_bare(error):
                    await self._explain(asked)
                raise
            self.given_up = -math.inf
            return answer

        call_s3 = sync_wrapper(_call_s3)

        async def _explain(self, asked: dict[str, Any]) -> None:
            """Raise what refuses a HEAD: its answer has no code, and that of a GET has one."""
            where = {name: asked[name] for name in ("Bucket", "Key")}
            await self._call_s3("get_object", Range="bytes=0-0", **where)

        async def _attempt(
            self, policy: patience.Policy, method: str, more: Any, asked: dict[str, Any]
        ) -> Any:
            moved = patience.Moved()
            sent = patience.sent(super()._call_s3, moved, method, more, asked)
            try:
                return await patience.moving(sent, moved, policy.limit)
            except TimeoutError as error:
                raise FSTimeoutError from error

    return Patient
