"""Work for the tests of engines: each does what its element says, and writes down who did it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cxr_vlp
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor.worker import WorkerState

CANARY = "CANARY effusion of patient 12345678"


@dataclass(frozen=True)
class Told:
    """Does what the payload of an element says: a mapping of `what` and its values."""

    folder: str
    isolated: bool = False
    spent: tuple[str, ...] = ()

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Write a line into FOLDER/NAME for each attempt, and do as told."""
        payload = element.payload or {}
        log = Path(self.folder, element.name)
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        attempt = len(log.read_text().splitlines())
        return getattr(self, payload.get("what", "answer"))(element, attempt, payload)

    @staticmethod
    def answer(element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        return {"name": element.name, "value": payload.get("value")}

    @staticmethod
    def where(element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the place of the code that a worker runs."""
        return {"package": cxr_vlp.__file__}

    def wait(self, element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        """The first attempt takes `seconds`, the others none."""
        if attempt == 1:
            time.sleep(payload["seconds"])
        return self.answer(element, attempt, payload)

    def sleep(self, element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        time.sleep(payload["seconds"])
        return self.answer(element, attempt, payload)

    @staticmethod
    def refuse(element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        raise DataError(f"csv.ragged: {element.name}: the table is damaged")

    def cut(self, element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        """The first `times` attempts lose their connection."""
        if attempt <= payload["times"]:
            raise ConnectionResetError(104, "Connection reset by peer", "/raw/p12345678/s1.txt")
        return self.answer(element, attempt, payload)

    @staticmethod
    def quote(element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        raise ConnectionError(CANARY)

    @staticmethod
    def bug(element: Element, attempt: int, payload: dict[str, Any]) -> dict[str, Any]:
        raise KeyError(CANARY)
