"""An S3 server on this machine, and sets in its buckets as `shards` publishes them there."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cxr_vlp.pipelines.format import manifest

KEYS = {
    "AWS_ACCESS_KEY_ID": "lab",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUCKET = "tarlabs"


@contextmanager
def served() -> Iterator[str]:
    """Run an S3 server with an empty bucket; yields its address."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    try:
        s3 = client(address)
        s3.create_bucket(Bucket=BUCKET)
        # the servers of one process have one memory: those of other tests must leave nothing here
        for row in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            s3.delete_object(Bucket=BUCKET, Key=row["Key"])
        yield address
    finally:
        server.stop()


def client(address: str) -> Any:
    """Return boto3's client of a server."""
    names = ("aws_access_key_id", "aws_secret_access_key", "region_name")
    boto3 = pytest.importorskip("boto3")
    return boto3.client("s3", endpoint_url=address, **dict(zip(names, KEYS.values(), strict=True)))


def environment(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Set the variables that name the server and the keys."""
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(name, value)


def put(address: str, folder: Path, key: str) -> None:
    """Put all files of a folder below a key, as `aws s3 sync` does."""
    s3 = client(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            s3.put_object(Bucket=BUCKET, Key=f"{key}/{name}", Body=path.read_bytes())


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


class Proxy(ThreadingHTTPServer):
    """Stands before a server and answers some requests badly.

    `fault(path, number)` says how the number-th GET of a path is answered: "" as the server does,
    "503", "500", "403" or another S3 code, "cut" in the middle of the body, "slow".
    """

    def __init__(self, address: str, fault: Callable[[str, int], str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.fault = address, fault
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.server.lock:
            self.server.asked[path] += 1
            number = self.server.asked[path]
        fault = self.server.fault(self.path, number)
        if fault == "slow":
            time.sleep(3)
        if fault in CODES:
            self._answer(CODES[fault], {}, f"<Error><Code>{fault}</Code></Error>".encode())
            return
        status, headers, body = self._behind()
        self._answer(status, headers, body, cut=fault == "cut")

    do_HEAD = do_GET  # noqa: N815 - the name is that of http.server

    def _behind(self) -> tuple[int, dict[str, str], bytes]:
        skipped = ("host", "connection")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
        asked = urllib.request.Request(
            self.server.behind + self.path, headers=headers, method=self.command
        )
        try:
            with urllib.request.urlopen(asked) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            skipped = ("connection", "date", "server", "transfer-encoding", "content-length")
            if name.lower() not in skipped:
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        """Say nothing."""


CODES = {
    "SlowDown": 503, "InternalError": 500, "AccessDenied": 403, "ExpiredToken": 403,
    "InvalidAccessKeyId": 403,
}  # fmt: skip


@contextmanager
def standing_before(address: str, fault: Callable[[str, int], str]) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    proxy = Proxy(address, fault)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
