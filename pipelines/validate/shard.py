"""Checks a finished tar: its digest, its members, its samples, and its line of the manifest.

A breach is counted under its code, with the place where it was first found: the tar and the number
of the sample in it, never a key or a text. The fields of a sample are checked in sample.py, its
image in image.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.remote.tars import RemoteTar
from cxr_vlp.pipelines.format.sample import KEY, Sample
from cxr_vlp.pipelines.format.tar import DigestingReader, Member
from cxr_vlp.pipelines.validate import image, leakage, near_duplicates
from cxr_vlp.pipelines.validate import sample as fields
from cxr_vlp.pipelines.validate.near_duplicates import Print
from cxr_vlp.pipelines.validate.sample import Expected

KINDS = ("jpg", "png", "json", "txt")
# endings of members that webdataset and torch unpickle or run
RUNNABLE = ("pyd", "pkl", "pickle", "pth", "pt", "npy", "npz", "ten", "tb", "xdecode", "py")
COUNTS = {"samples": "shard.samples", "studies": "shard.studies", "patients": "shard.patients"}


@dataclass
class CheckedTar:
    """The contents of one tar; digests have 16 bytes each and are joined."""

    samples: int = 0
    size: int = 0  # bytes
    breaches: dict[str, tuple[str, int]] = field(default_factory=dict)  # code -> (where, how often)
    keys: bytearray = field(default_factory=bytearray)
    patients: bytearray = field(default_factory=bytearray)  # each once
    sources: bytearray = field(default_factory=bytearray)  # of the files that images were made of
    names: bytearray = field(default_factory=bytearray)  # of ids that no two collections invent
    images: bytearray = field(default_factory=bytearray)  # of the grey values; with `deep` only
    prints: list[Print] = field(default_factory=list)  # of the images; with `near` only

    def breach(self, code: str, where: str) -> None:
        """Count a breach."""
        first, count = self.breaches.get(code, (where, 0))
        self.breaches[code] = (first, count + 1)


@dataclass(frozen=True)
class Depth:
    """What is done with the images."""

    deep: bool = False  # decoded, and their grey values are digested
    near: bool = False  # their fingerprints are taken, to find near-duplicates


def check_tar(
    path: Path | RemoteTar,
    line: Mapping[str, Any],
    expected: Expected,
    *,
    deep: bool,
    near: bool = False,
) -> CheckedTar:
    """Check one tar against the format and its manifest line; one sample is in memory at a time.

    Raises OSError if the disk or the store does not give the file.
    """
    checked = CheckedTar()
    with _opened(path) as stream:
        reader = DigestingReader(stream)
        try:
            counts = _check_samples(
                reader.members(), path.name, expected, checked, Depth(deep, near)
            )
        except FormatError as error:  # the rest has no readable members
            checked.breach(error.code, path.name)
            counts = {}
        sha256, ended = reader.finish()
    checked.size = reader.size
    if (reader.size, sha256) != (line["bytes"], line["sha256"]):
        checked.breach("shard.digest", path.name)
    if not ended:
        checked.breach("shard.end", path.name)
    for name, count in counts.items():
        if count != line[name]:
            checked.breach(COUNTS[name], path.name)
    return checked


def _opened(tar: Path | RemoteTar) -> BinaryIO:
    if isinstance(tar, RemoteTar):
        return cast(BinaryIO, io.BufferedReader(tar.stream(), 1 << 20))
    return tar.open("rb")


def _check_samples(
    members: Iterator[Member], name: str, expected: Expected, checked: CheckedTar, depth: Depth
) -> dict[str, int]:
    """Check the samples; return the numbers of samples, studies and patients."""
    last = study = ""
    studies, patients = set(), set()
    for number, (key, group) in enumerate(groupby(members, key=_key)):
        where = f"{name} sample {number}"
        of_sample = list(islice(group, 4))  # three, and a fourth to see that there are more
        for code in _check_members(key, of_sample, expected):
            checked.breach(code, where)
        if key <= last:
            checked.breach("shard.order", where)
        sample = _check_content(of_sample, key, expected, checked, depth, where)
        if sample and sample.study != study:
            study = sample.study
            if study in studies:
                checked.breach("study.scattered", where)
            studies.add(study)
        if sample:
            patients.add(leakage.digest(sample.dataset, sample.patient))
        last = key
        checked.keys += leakage.digest(key)
        checked.samples += 1
    checked.patients += b"".join(sorted(patients))
    return {"samples": checked.samples, "studies": len(studies), "patients": len(patients)}


def _key(member: Member) -> str:
    return member.name.rpartition(".")[0]


def _endings(members: Sequence[Member]) -> tuple[str, ...]:
    return tuple(member.name.rpartition(".")[2] for member in members)


def _check_members(key: str, members: Sequence[Member], expected: Expected) -> Iterator[str]:
    yield from {code for member in members if (code := odd_name(member.name))}
    if not all(member.plain for member in members):
        yield "member.header"
    if _endings(members) != (expected.form, "json", "txt"):
        yield "sample.members"
    if not KEY.fullmatch(key):
        yield "sample.key"


def odd_name(name: str) -> str:
    """Return the code of an unsafe or unknown member name, "" for a valid one."""
    if set(name) & {":", "|"}:
        return "member.pipe"  # webdataset runs what follows "pipe:"
    if "/" in name or "\\" in name:
        return "member.path"
    words = name.lower().split(".")
    if set(words[1:]) & set(RUNNABLE):
        return "member.runnable"
    return "" if words[-1] in KINDS else "member.unknown"


def _check_content(
    members: Sequence[Member],
    key: str,
    expected: Expected,
    checked: CheckedTar,
    depth: Depth,
    where: str,
) -> Sample | None:
    """Check the content of the three members; return the sample, None if its values are wrong."""
    if _endings(members) != (expected.form, "json", "txt"):
        return None
    stored, document, text = (member.data for member in members)
    sample, codes = _check_document(document, text, key, expected)
    for code in (*codes, *_check_caption(text)):
        checked.breach(code, where)
    if sample is None:
        return None
    if name := leakage.only_name(sample.study, sample.image):
        checked.names += leakage.digest(name)
    if "json.provenance" not in codes:
        checked.sources += leakage.digest(sample.provenance.image_sha256)
    if depth.deep or depth.near:
        for code in _check_image(stored, key, sample, expected, checked, depth):
            checked.breach(code, where)
    return sample


def _check_document(
    document: bytes, text: bytes, key: str, expected: Expected
) -> tuple[Sample | None, list[str]]:
    row, code = fields.parse(document)
    if code:
        return None, [code]
    sample, codes = fields.typed(row)
    if sample is not None:
        codes += fields.breaches(sample, text, key, expected)
    return sample, codes


def _check_image(
    stored: bytes,
    key: str,
    sample: Sample,
    expected: Expected,
    checked: CheckedTar,
    depth: Depth,
) -> list[str]:
    """Return the codes of an image's breaches; one that is too large or broken is not decoded."""
    codes = list(image.breaches(stored, expected.form, sample.pixels, expected.largest))
    if {"image.unreadable", "image.too_large"} & set(codes):
        return codes
    if depth.near:
        patient = leakage.digest(sample.dataset, sample.patient)
        found = near_duplicates.of_image(stored, sample.pixels, key, sample.dataset, patient)
        checked.prints += [found] if found else []
        codes += [] if found or depth.deep else ["image.unreadable"]
    if not depth.deep:
        return codes
    code, digest = image.decode(stored, sample.pixels)
    checked.images += digest
    return [*codes, code] if code else codes


def _check_caption(text: bytes) -> Iterator[str]:
    try:
        if not text.decode().strip():
            yield "caption.empty"
    except UnicodeDecodeError:
        yield "caption.encoding"
