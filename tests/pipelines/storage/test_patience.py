"""A store that is busy, or accepts and never answers: every request ends, in the stated time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import buckets
import pytest

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.files import raw_objects
from cxr_vlp.pipelines.format.errors import StoreError
from cxr_vlp.pipelines.format.remote import patience, store
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import place


@pytest.fixture
def attempts(monkeypatch) -> Iterator[list[float]]:
    """The environment leads to a server that accepts, and neither reads nor answers.

    Gives the limits of all attempts that were made.
    """
    pytest.importorskip("s3fs")
    made: list[float] = []
    whole = patience.moving

    def counted(work: Any, moved: patience.Moved, limit: float) -> Any:
        made.append(limit)
        return whole(work, moved, limit)

    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        buckets.environment(monkeypatch, address)
        monkeypatch.setenv(store.SILENCE_VARIABLE, "0.2")
        monkeypatch.setattr(store, "WAITS", (0.01,))
        monkeypatch.setattr(patience, "moving", counted)
        yield made


PLACE = "s3://bucket/p10000032/x"
REQUESTS = {
    "look": lambda _: place(PLACE).exists(),
    "list": lambda _: list(place(PLACE).iterdir()),
    "read": lambda _: place(PLACE).read_bytes(),
    "stream": lambda _: place(PLACE).open("rb").read(),
    "put": lambda file: objects.put_file(file, place(PLACE)),
    "put if absent": lambda _: objects.put_if_absent(place(PLACE), b"x"),
    "replace": lambda _: objects.replace_if(place(PLACE), b"x", '"tag"'),
    "copy": lambda _: objects.copy(place(PLACE), place(f"{PLACE}y")),
    "remove": lambda _: objects.remove(place(PLACE)),
    "raw tree": lambda _: raw_objects.RawObject(place(PLACE), "1.dcm").read(),
    "set": lambda _: store.listing(PLACE),
    "tar": lambda _: list(store.chunks(PLACE, 10)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_store_that_never_answers_is_asked_twice_and_named(name, attempts, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 5_000_000)  # more than the network holds for a server
    found: list[BaseException] = []

    def ask() -> None:
        try:
            REQUESTS[name](tmp_path / "file")
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for ever"
    assert isinstance(found[0], StorageError | StoreError)
    assert "cut or timed out" in str(found[0])
    assert "set CXR_STORE_TIMEOUT" in str(found[0])
    assert len(attempts) == 2


def test_a_store_that_was_given_up_gets_one_attempt_until_it_answers(attempts, monkeypatch):
    for expected in (2, 3, 4):
        with pytest.raises(StoreError):
            store.listing(PLACE)
        assert len(attempts) == expected
    monkeypatch.setattr(patience, "LONGEST", 0.0)  # that was long ago
    with pytest.raises(StoreError):
        store.listing(PLACE)
    assert len(attempts) == 6


def test_a_store_that_is_busy_is_survived_by_the_last_attempt(s3, proxy, monkeypatch):
    monkeypatch.setattr(store, "WAITS", (0.01,) * 6)
    out = place(f"{s3}/x")
    for fault in ("busy", "slowdown", "error", "cut"):
        first = proxy.number
        proxy.choose = lambda number, *_, now=fault, first=first: now if number - first <= 6 else ""
        assert objects.put_if_absent(out / fault, b"x")
        assert proxy.number - first == 7


def pauses(waits: tuple[float, ...], spent: float, monkeypatch) -> list[float]:
    """Return the pauses of a request whose attempts take `spent` seconds each."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    found = []
    made = patience.policy(waits).pauses()
    clock[0] += spent
    for pause in made:
        found.append(pause)
        clock[0] += pause + spent
    return found


def test_silent_attempts_end_within_three_minutes_and_quick_ones_use_all_pauses(monkeypatch):
    monkeypatch.delenv(store.SILENCE_VARIABLE, raising=False)
    monkeypatch.delenv(patience.ATTEMPTS_VARIABLE, raising=False)
    waits = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    assert waits == store.WAITS
    silence = patience.SILENCE + patience.CONNECT  # at most, of one attempt
    found = pauses(waits, silence, monkeypatch)
    assert len(found) == 3
    assert sum(found) + silence * (len(found) + 1) <= 180
    quick = pauses(waits, 0.1, monkeypatch)
    assert all(wait / 2 <= pause <= wait for pause, wait in zip(quick, waits, strict=True))


@pytest.mark.parametrize(("text", "attempts"), [("2", 7), ("7", 7), ("9", 9), ("1e9", 1000)])
def test_a_variable_may_raise_the_number_of_attempts(monkeypatch, text, attempts):
    monkeypatch.setenv(patience.ATTEMPTS_VARIABLE, text)
    assert len(patience.policy((1.0,) * 6).waits) == attempts - 1
    assert patience.policy((1.0,), once=True).waits == ()


def test_a_long_silence_makes_the_whole_longer(monkeypatch):
    monkeypatch.setenv(store.SILENCE_VARIABLE, "300")
    assert len(pauses((0.5, 1.0, 2.0, 4.0, 8.0, 16.0), 305, monkeypatch)) == 3


def test_pauses_take_no_draw_of_a_training():
    import random

    state = random.getstate()
    list(patience.policy((0.1,) * 5).pauses())
    assert random.getstate() == state


def test_the_file_is_whole_after_many_pieces(s3, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 1000)
    data = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(data)
    there = place(f"{s3}/x")
    objects.put_file(tmp_path / "file", there)
    assert b"".join(store.chunks(str(there), len(data))) == data
    objects.get_file(there, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
