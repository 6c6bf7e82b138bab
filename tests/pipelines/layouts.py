"""Helpers for the tests of the synthetic trees: writers, small options, readers of tables."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic, nih, openi

SMALL = {"studies": 30, "seed": 3, "height": 48}
WRITERS = {"mimic": mimic, "chexpert": chexpert, "nih": nih, "openi": openi}
CXR, JPG = "mimic-cxr/2.1.0", "mimic-cxr-jpg/2.1.0"


def table(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.DictReader(io.StringIO(text)))


def first_line(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().split("\n")[0]


def truth(out: Path, source: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{source}.truth.jsonl").read_text().splitlines()]


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
