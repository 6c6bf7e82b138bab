"""The web server: it listens on one address of this machine and writes no log of requests."""

from __future__ import annotations

import logging
import socket
from typing import Any, NamedTuple

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.inspector import app
from cxr_vlp.pipelines.inspector.security import Guard
from cxr_vlp.pipelines.inspector.session import Session


class Serving(NamedTuple):
    """A server that is bound to its port, and the guard of its pages."""

    server: BaseWSGIServer
    guard: Guard


class _QuietHandler(WSGIRequestHandler):
    """Handles requests without a log: addresses hold keys and searched words."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name there
        """Write nothing."""

    def version_string(self) -> str:
        """Return the Server header, without the versions of Python and of the server."""
        return "cxr-vlp"


def bind(session: Session, host: str, port: int) -> Serving:
    """Return a server of the session's pages; port 0 takes a free one.

    Raises ConfigError if the port is taken or not allowed.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"port {port} cannot be used ({error.strerror}): give another --port, or none"
        ) from None
    guard = Guard(bound.getsockname()[1])
    application = app.create(session, guard)
    # the server takes a copy of the handle; a handle that it opens itself ends the process when
    # the port is taken
    server = make_server(
        host, guard.port, application, threaded=True, request_handler=_QuietHandler,
        fd=bound.fileno(),
    )  # fmt: skip
    bound.close()
    logging.getLogger("werkzeug").disabled = True  # a traceback would quote what was read
    return Serving(server, guard)
