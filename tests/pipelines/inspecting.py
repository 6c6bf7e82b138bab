"""Helpers for the inspector's tests: a client of its pages, changed headers of sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from cxr_vlp.pipelines.inspector import app
from cxr_vlp.pipelines.inspector.security import Guard
from cxr_vlp.pipelines.inspector.session import Session

GUARD = Guard(8765, token="the-token", session="the-session")


def client_of(session: Session, *, entered: bool = True) -> FlaskClient:
    """Return a client of the session's pages, with the cookie if it has entered."""
    client = app.create(session, GUARD).test_client()
    if entered:
        for host in ("localhost", "127.0.0.1", "::1"):
            client.set_cookie(GUARD.cookie, GUARD.session, domain=host)
    return client


def change_header(folder: Path, **values: Any) -> None:
    """Replace values in the header of a set's manifest."""
    path = folder / "manifest.jsonl"
    first, *lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | values), *lines]) + "\n")
