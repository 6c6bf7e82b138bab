"""Fixtures of the inspector's tests: a session on all four sets, a client, copies to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from inspecting import change_header, client_of

from cxr_vlp.pipelines.inspector.session import Session


@pytest.fixture(scope="session")
def session(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session on the four built sets; tests only read it."""
    return Session(built / "shards", tmp_path_factory.mktemp("inspected"))


@pytest.fixture
def client(session: Session) -> FlaskClient:
    """A client that has entered."""
    return client_of(session)


@pytest.fixture
def stranger(session: Session) -> FlaskClient:
    """A client without the cookie."""
    return client_of(session, entered=False)


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies a built set, so that a test can change it; `header` replaces values of its header."""

    def copy(source: str, name: str = "", **header: Any) -> Path:
        folder = tmp_path / "sets" / (name or source)
        shutil.copytree(built / "shards" / source, folder)
        if header:
            change_header(folder, **header)
        return folder

    return copy
