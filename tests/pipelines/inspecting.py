"""Helpers for the inspector's tests: a client of its pages, changed sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from cxr_vlp.pipelines.format import manifest, tar
from cxr_vlp.pipelines.inspector import app
from cxr_vlp.pipelines.inspector.security import Guard
from cxr_vlp.pipelines.inspector.session import Session

Change = Callable[[str, bytes], Iterable[tuple[str, bytes]]]
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


def rewrite(folder: Path, change: Change) -> None:
    """Write the tars and the manifest of a set again; `change` gives the members for a member."""
    for path in folder.glob("*/*.tar"):
        with path.open("rb") as stream:
            found = [(m.name, m.data) for m in tar.members(stream)]
        with path.open("wb") as stream:
            writer = tar.TarWriter(stream)
            for name, data in (pair for member in found for pair in change(*member)):
                writer.add(name, data)
            writer.finish()
    head, lines = manifest.read(folder)
    for line in lines:
        if line["samples"]:
            data = (folder / line["split"] / line["name"]).read_bytes()
            line |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    head["digest"] = manifest.digest(head, lines, folder / manifest.REJECTS)
    text = "\n".join(map(json.dumps, [head, *lines]))
    (folder / manifest.NAME).write_text(f"{text}\n")
