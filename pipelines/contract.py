"""A finished tar in, every breach of the shard format out. What README promises, as code.

A breach is (code, where): the code says which promise, `where` names the tar and the member's
place in it, never a key or text.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.records import SPLITS, VIEWS
from pipelines.samples import KEY
from pipelines.storage import sha256

PICTURES = ("jpg", "png")
STRINGS = (
    "caption", "findings", "impression", "abnormal", "prompt", "dataset", "patient", "study",
    "image", "split", "view", "projection", "sex", "labels_from",
)  # fmt: skip
LISTS = ("sentences", "prompts", "statements", "boxes")
MAPPINGS = ("sections", "labels", "pixels", "provenance")
STATUSES = ("normal", "abnormal", "uncertain", "nonfinding")
ASSERTIONS = ("present", "absent", "uncertain")


@dataclass
class Seen:
    """What one tar was found to hold; `verify` compares these over the whole set."""

    breaches: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)  # patient -> split
    studies: list[str] = field(default_factory=list)


def check_tar(path: Path, line: Mapping[str, Any], *, deep: bool) -> Seen:
    """Check one tar against the format and its manifest line."""
    seen = Seen()
    if path.stat().st_size != line["bytes"] or sha256(path) != line["sha256"]:
        seen.breaches.append(("shard.digest", path.name))
    try:
        with tarfile.open(path, "r:") as tar:
            _check_members(tar, path.name, line, seen, deep)
    except (tarfile.TarError, EOFError, OSError):
        seen.breaches.append(("shard.unreadable", path.name))
    if len(seen.keys) != line["samples"]:
        seen.breaches.append(("shard.count", path.name))
    if seen.keys != sorted(seen.keys):
        seen.breaches.append(("shard.order", path.name))
    runs = [study for study, _ in groupby(seen.studies)]
    if len(runs) != len(set(runs)):
        seen.breaches.append(("study.scattered", path.name))
    return seen


def _check_members(
    tar: tarfile.TarFile, name: str, line: Mapping[str, Any], seen: Seen, deep: bool
) -> None:
    infos = tar.getmembers()
    for start in range(0, len(infos), 3):
        where = f"{name} sample {start // 3}"
        three = infos[start : start + 3]
        if any(map(_odd_header, three)):
            seen.breaches.append(("member.header", where))
        stems, endings = zip(*(info.name.rpartition(".")[::2] for info in three), strict=True)
        if len(set(stems)) > 1 or endings not in [(p, "json", "txt") for p in PICTURES]:
            seen.breaches.append(("sample.members", where))
            return  # nothing after this can be told apart
        if not KEY.fullmatch(stems[0]):
            seen.breaches.append(("sample.key", where))
        picture, document, text = (tar.extractfile(i).read() for i in three)  # type: ignore[union-attr]
        seen.keys.append(stems[0])
        seen.breaches += [(code, where) for code in _check_text(text)]
        seen.breaches += [(code, where) for code in _check_json(document, text, line, seen)]
        if deep:
            seen.breaches += [(code, where) for code in _check_picture(picture, document)]


def _odd_header(info: tarfile.TarInfo) -> bool:
    plain = (info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o444)
    return not (plain and info.isreg() and not info.pax_headers)


def _check_text(text: bytes) -> Iterator[str]:
    try:
        if not text.decode().strip():
            yield "caption.empty"
    except UnicodeDecodeError:
        yield "caption.encoding"


def _check_json(document: bytes, text: bytes, line: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    try:
        sample = json.loads(document)
    except ValueError:
        yield "json.broken"
        return
    for names, kind in ((STRINGS, str), (LISTS, list), (MAPPINGS, dict)):
        for name in names:
            if not isinstance(sample.get(name), kind):
                yield f"json.field:{name}"
                return
    yield from _check_values(sample, text, line)
    seen.studies.append(sample["study"])
    if seen.patients.setdefault(sample["patient"], sample["split"]) != sample["split"]:
        yield "patient.two_splits"


def _check_values(sample: Mapping[str, Any], text: bytes, line: Mapping[str, Any]) -> Iterator[str]:
    if sample["caption"].encode() != text:
        yield "caption.differs"
    if sample["split"] not in SPLITS or sample["split"] != line["split"]:
        yield "json.split"
    if sample["view"] not in VIEWS:
        yield "json.view"
    if sample["sex"] not in ("", "F", "M"):
        yield "json.sex"
    if any(value not in (1, 0, -1) for value in sample["labels"].values()):
        yield "json.labels"
    if any(not prompt.strip() for prompt in sample["prompts"]):
        yield "json.prompts"
    for sentence in sample["sentences"]:
        assertions = {mention["assertion"] for mention in sentence["mentions"]}
        if sentence["status"] not in STATUSES or not assertions <= set(ASSERTIONS):
            yield "json.sentences"
            return


def _check_picture(picture: bytes, document: bytes) -> Iterator[str]:
    buffer = np.frombuffer(picture, np.uint8)
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if picture else None  # else it raises
    if image is None:
        yield "picture.unreadable"
        return
    if image.ndim != 2 or image.dtype != np.uint8:
        yield "picture.not_grey"
    facts = json.loads(document).get("pixels", {})
    if image.shape[:2] != (facts.get("height"), facts.get("width")):
        yield "picture.size"
    if image.min() == image.max():
        yield "picture.constant"
