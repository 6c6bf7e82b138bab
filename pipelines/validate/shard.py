"""A finished tar in, every breach of the shard format out. What README promises, as code.

A breach is counted under its code, with the place where it was first seen: the tar and the
sample's number in it, never a key or text. What a sample's members promise is in fields.py and
stored.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format.untar import Member, TornError, Untar
from cxr_vlp.pipelines.stages.sample_members import KEY
from cxr_vlp.pipelines.validate import image, leakage
from cxr_vlp.pipelines.validate import sample as fields
from cxr_vlp.pipelines.validate.sample import Expected

KINDS = ("jpg", "png", "json", "txt")
# what webdataset and torch unpickle or run when a member has this ending
RUNNABLE = ("pyd", "pkl", "pickle", "pth", "pt", "npy", "npz", "ten", "tb", "xdecode", "py")


@dataclass
class Seen:
    """What one tar was found to hold; digests are of 16 bytes each, joined."""

    samples: int = 0
    size: int = 0  # bytes
    breaches: dict[str, tuple[str, int]] = field(default_factory=dict)  # code -> (where, how often)
    keys: bytearray = field(default_factory=bytearray)
    patients: bytearray = field(default_factory=bytearray)  # each once
    sources: bytearray = field(default_factory=bytearray)  # of the files the pictures were made of
    pictures: bytearray = field(
        default_factory=bytearray
    )  # of the pictures' grey values; with `deep` alone

    def breach(self, code: str, where: str) -> None:
        """Count a breach."""
        first, count = self.breaches.get(code, (where, 0))
        self.breaches[code] = (first, count + 1)


def check_tar(path: Path, line: Mapping[str, Any], expected: Expected, *, deep: bool) -> Seen:
    """Check one tar against the format and its manifest line; one sample is held at a time.

    Raises OSError where the disk does not give the file.
    """
    seen = Seen()
    size = path.stat().st_size
    with path.open("rb") as stream:
        tar = Untar(stream, size)
        try:
            counts = _check_samples(tar, path.name, expected, seen, deep)
        except TornError:
            seen.breach("shard.torn", path.name)
            counts = {}
        sha256, ended = tar.finish()
    seen.size = tar.read
    if (tar.read, sha256) != (line["bytes"], line["sha256"]):
        seen.breach("shard.digest", path.name)
    if not ended:
        seen.breach("shard.end", path.name)
    for name, count in counts.items():
        if count != line[name]:
            seen.breach(f"shard.{name}", path.name)
    return seen


def _check_samples(
    tar: Untar, name: str, expected: Expected, seen: Seen, deep: bool
) -> dict[str, int]:
    """Check the samples; return how many samples, studies and patients there are."""
    last = study = ""
    studies, patients = set(), set()
    for number, (key, group) in enumerate(groupby(tar, key=_key)):
        where = f"{name} sample {number}"
        members = list(islice(group, 4))  # three, and the proof that there are more
        for code in _check_members(key, members, expected):
            seen.breach(code, where)
        if key <= last:
            seen.breach("shard.order", where)
        sample = _check_content(members, key, expected, seen, deep, where)
        if sample and sample["study"] != study:
            study = sample["study"]
            if study in studies:
                seen.breach("study.scattered", where)
            studies.add(study)
        if sample:
            patients.add(leakage.digest(sample["dataset"], sample["patient"]))
        last = key
        seen.keys += leakage.digest(key)
        seen.samples += 1
    seen.patients += b"".join(sorted(patients))
    return {"samples": seen.samples, "studies": len(studies), "patients": len(patients)}


def _key(member: Member) -> str:
    return member.name.rpartition(".")[0]


def _endings(members: Sequence[Member]) -> tuple[str, ...]:
    return tuple(member.name.rpartition(".")[2] for member in members)


def _check_members(key: str, members: Sequence[Member], expected: Expected) -> Iterator[str]:
    yield from {code for member in members if (code := _odd_name(member.name))}
    if not all(member.plain for member in members):
        yield "member.header"
    if _endings(members) != (expected.form, "json", "txt"):
        yield "sample.members"
    if not KEY.fullmatch(key):
        yield "sample.key"


def _odd_name(name: str) -> str:
    """Return the code of a name that no reader should meet, "" for one of ours."""
    if set(name) & {":", "|"}:
        return "member.pipe"  # webdataset runs what stands behind "pipe:"
    if "/" in name or "\\" in name:
        return "member.path"
    words = name.lower().split(".")
    if set(words[1:]) & set(RUNNABLE):
        return "member.runnable"
    return "" if words[-1] in KINDS else "member.unknown"


def _check_content(
    members: Sequence[Member], key: str, expected: Expected, seen: Seen, deep: bool, where: str
) -> dict[str, Any]:
    """Check what the three members hold; return the sample, {} where it cannot be relied on."""
    if _endings(members) != (expected.form, "json", "txt"):
        return {}
    picture, document, text = (member.data for member in members)
    sample, code = fields.parse(document)
    codes = [code] if code else list(fields.breaches(sample, text, key, expected))
    for code in (*codes, *_check_caption(text)):
        seen.breach(code, where)
    if any(code.startswith("json.field") or not sample for code in codes):
        return {}
    if "json.provenance" not in codes:
        seen.sources += leakage.digest(sample["provenance"]["image_sha256"])
    if deep:
        odd = list(image.breaches(picture, expected.form, sample["pixels"], expected.largest))
        if not {"picture.unreadable", "picture.too_large"} & set(odd):
            code, digest = image.decode(picture, sample["pixels"])
            odd += [code] if code else []
            seen.pictures += digest
        for code in odd:
            seen.breach(code, where)
    return sample


def _check_caption(text: bytes) -> Iterator[str]:
    try:
        if not text.decode().strip():
            yield "caption.empty"
    except UnicodeDecodeError:
        yield "caption.encoding"
