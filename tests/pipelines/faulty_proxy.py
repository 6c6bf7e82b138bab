"""A server that passes requests on to an S3 server, and makes faults on the way."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

# "": pass on. Else: slow; busy, slowdown ... (answers of the store, as in _CODES);
# cut (no answer), cut-answer (half of it), lost (no answer, but done), hang (30 s of silence)
Fault = str
_CODES = {
    "busy": (503, "ServiceUnavailable"),
    "slowdown": (503, "SlowDown"),
    "error": (500, "InternalError"),
    "expired": (400, "ExpiredToken"),
    "denied": (403, "AccessDenied"),
    "refused": (403, "InvalidAccessKeyId"),
    "gone": (404, "NoSuchKey"),
}


class FaultyProxy:
    """A proxy; `choose` gives the fault of a request: (number from 1, method, path) -> fault."""

    def __init__(self, server: str) -> None:
        self.target = urlsplit(server).netloc
        self.choose: Callable[[int, str, str], Fault] = lambda *_: ""
        self.deaf = False  # the server does not know the conditions of a put
        self.number = 0
        self.seen: list[str] = []
        self.asked: Counter[str] = Counter()  # path without its query -> requests
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def fault(self, method: str, path: str) -> Fault:
        """Return the fault of the next request."""
        with self._lock:
            self.number += 1
            self.seen.append(f"{method} {path}")
            self.asked[path.partition("?")[0]] += 1
            return self.choose(self.number, method, path)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Print nothing: a client may end a connection at any time."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _handle(self) -> None:
        body = self._body()
        fault = self.proxy.fault(self.command, self.path)
        if fault == "hang":
            time.sleep(30)
        if fault in ("cut", "hang"):
            self.close_connection = True
            return
        if fault in _CODES:
            self._refuse(*_CODES[fault])
            return
        if fault == "slow":
            time.sleep(0.3)
        answer = self._passed_on(body)
        if fault == "lost":  # the server has done it, and nobody hears of it
            self.close_connection = True
            return
        self._answer(*answer, cut=fault == "cut-answer")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the library

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.target, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
        if self.proxy.deaf:
            headers = {k: v for k, v in headers.items() if not k.lower().startswith("if-")}
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body, headers)
        found = connection.getresponse()
        answer = found.status, found.getheaders(), found.read()
        connection.close()
        return answer

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = next((v for k, v in headers if k.lower() == "content-length"), str(len(data)))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        # the message of a real answer holds the key and the name of the object
        said = f"key AKIASECRET of {escape(self.path)}"
        text = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
        data = b"" if self.command == "HEAD" else f'<?xml version="1.0"?>{text}'.encode()
        self._answer(status, [("Content-Type", "application/xml")], data)
