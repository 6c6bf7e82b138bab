"""Makes the tar of one part from its inventory, its texts and the raw images.

Samples are written as they are made, so a worker holds one image at a time. The tar gets its name
only when it is complete and on the disk.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.cache import identity
from cxr_vlp.pipelines.cache.entries import Entry, SampleDigests
from cxr_vlp.pipelines.cache.images import CachedImages
from cxr_vlp.pipelines.cache.incremental import PartResult
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import fingerprints, versions
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.format.tar import TarWriter
from cxr_vlp.pipelines.records import (
    Encoded,
    Image,
    Reject,
    Study,
    lines,
    reject,
    study_from_json,
)
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.stages import sample_members
from cxr_vlp.pipelines.stages.source_files import SourceFiles
from cxr_vlp.pipelines.storage.place import place

# Rejects that may not occur again: a tar with such a reject is not reused as a whole.
TEMPORARY = ("image.io", "image.digest", "decode.crash", "decode.timeout")


@dataclass(frozen=True)
class SampleInput:
    """One image that becomes a sample: its study, its texts, and the digests that decide it."""

    study: Study
    image: Image
    texts: Mapping[str, Any]
    digests: SampleDigests

    @classmethod
    def of(
        cls, study: Study, image: Image, texts: Mapping[str, Any], shards: Shards
    ) -> SampleInput:
        """Return the input of a sample; its fingerprints are computed only here."""
        pixels = sample_members.image_fingerprint(study, image, shards)
        whole = sample_members.fingerprint(study, image, texts, shards, pixels)
        key = ids.of_image(study, image)
        return cls(study, image, texts, SampleDigests(key, image.sha256, pixels, whole))

    def members(self, encoded: Encoded, shards: Shards) -> list[tuple[str, bytes]]:
        """Return the (name, bytes) of the sample's three members."""
        sample = sample_members.sample(
            self.study, self.image, self.texts, encoded, shards, self.digests.image
        )
        key = sample_members.key_of(self.study, self.image)
        return sample_members.members(key, sample, encoded.data, shards.format)


@dataclass(frozen=True)
class ShardPart:
    """The input of one part (a PartInput): its samples in the order of the tar."""

    name: str
    samples: tuple[SampleInput, ...]
    fingerprint: str
    digests: Mapping[str, str] = field(default_factory=dict)  # of the files "scan" and "texts"


@dataclass
class TarContents:
    """What was written to the tar of a part so far, and what was rejected."""

    samples: list[SampleDigests] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)  # on the images that were written
    decoded: int = 0
    copied: int = 0


@dataclass(frozen=True)
class ShardBuilder:
    """Makes the tar of a part; a PartBuilder (cache/incremental.py)."""

    source_files: SourceFiles
    scan: str
    texts: str
    counts: Mapping[str, int]
    salt: str
    shards: Shards
    isolated: bool = True  # it decodes images

    @property
    def images(self) -> str:
        """The digest of what decides pixels, beside the image files."""
        made_by = [self.shards.image_parameters(), versions.PIXELS, fingerprints.pixel_toolchain()]
        return fingerprints.of(made_by)

    def inputs(self, digests: Mapping[str, str]) -> str:
        """Return the digest of all that decides a tar, from the digests of the part's files."""
        epochs = [versions.FORMAT, versions.PIXELS, versions.TEXTS]
        section = dataclasses.asdict(self.shards)
        files = [digests["scan"], digests["texts"]]
        return fingerprints.of([*files, section, self.images, epochs, dict(self.counts), self.salt])

    def file(self, part: str) -> str:
        """Return the tar's path in the output."""
        return f"{parts.split_of(part)}/{part}.tar"

    def load(self, part: str) -> ShardPart:
        """Read the part's inventory and texts; no image is read."""
        listed, scan = identity.read(place(self.scan) / f"{part}.jsonl")
        texts, read = identity.read(place(self.texts) / f"{part}.jsonl")
        samples = tuple(self._samples(listed, texts))
        pairs = [(sample.digests.key, sample.digests.sample) for sample in samples]
        made_of = fingerprints.shard(self.counts, self.salt, self.shards.limits(), pairs)
        return ShardPart(part, samples, made_of, {"scan": scan, "texts": read})

    def build(
        self, part: ShardPart, path: Path, cached: CachedImages, worker: WorkerState
    ) -> PartResult:
        """Write the part's tar; no tar for a part without samples."""
        contents = TarContents()
        with jsonl.replacing(path) as stream:
            hashing: Any = jsonl.Md5(stream)
            tar = TarWriter(hashing)
            for sample in part.samples:
                worker.step()
                self._add(tar, sample, cached, worker, contents)
            sha256, size = tar.finish()
        written = sum(sample.written for sample in contents.samples)
        if not written:
            path.unlink()
        return PartResult(
            sha256=sha256 if written else "",
            md5=hashing.hexdigest() if written else "",
            bytes=size if written else 0,
            result=_result(path, part.fingerprint, contents, sha256, size),
            listed=len(contents.samples),
            written=written,
            samples=tuple(contents.samples),
            lasting=not any(lost.code in TEMPORARY for lost in contents.rejects),
            decoded=contents.decoded,
            copied=contents.copied,
        )

    def agrees(self, entry: Entry) -> bool:
        """Return whether an entry's numbers fit each other: samples, manifest line, rejects."""
        line, rejects = entry.result.get("line"), entry.result.get("rejects")
        if not isinstance(line, dict) or not isinstance(rejects, list):
            return False
        found = [line.get(name) for name in ("fingerprint", "sha256", "bytes")]
        if found != [entry.fingerprint, entry.sha256, entry.bytes]:
            return False
        if entry.listed < 0:  # an entry of 0.8 for a part without samples
            return line.get("samples") == 0 and not rejects
        codes = Counter(row.get("code") for row in rejects)
        numbers = line.get("samples") == entry.written == entry.listed - len(rejects)
        return numbers and line.get("rejects") == codes

    def _samples(self, listed: bytes, texts: bytes) -> Iterator[SampleInput]:
        """Yield every image whose study has texts; `texts` rejected and counted the others."""
        rows = {row["key"]: row for row in map(json.loads, lines(texts))}
        for study in map(study_from_json, lines(listed)):
            if study.key in rows:
                for image in sorted(study.images, key=lambda image: image.key):
                    yield SampleInput.of(study, image, rows[study.key], self.shards)

    def _add(
        self,
        tar: TarWriter,
        sample: SampleInput,
        cached: CachedImages,
        worker: WorkerState,
        contents: TarContents,
    ) -> None:
        """Add one sample to the tar, or a reject to the contents."""
        try:
            sample_members.key_of(sample.study, sample.image)
            sample_members.caption(
                sample.texts, self.shards
            )  # before the image is decoded, which is slow
            encoded = self._encoded(sample, cached, worker, contents)
            sample_members.check_boxes(sample.image, encoded)
        except IngestError as error:
            contents.rejects.append(reject(sample.digests.key, error.code, "shards"))
            contents.samples.append(sample.digests.shortened(written=False))
            return
        for name, data in sample.members(encoded, self.shards):
            tar.add(name, data)
        contents.samples.append(sample.digests.shortened(written=True))
        contents.notes.update(encoded.facts["notes"])
        contents.studies.add(sample.study.key)
        contents.patients.add(sample.study.patient)

    def _encoded(
        self,
        sample: SampleInput,
        cached: CachedImages,
        worker: WorkerState,
        contents: TarContents,
    ) -> Encoded:
        """Return the image from an earlier tar, else decode it. Raises IngestError."""
        # the driver imports this module, and decodes nothing
        from cxr_vlp.pipelines.imaging import encode, geometry

        found = cached.find(sample.digests.image, sample.digests.key)
        if found is None:
            with worker.decoding(key_hash(sample.digests.key)):
                encoded = encode_image(self.source_files, sample.image, self.shards)
            contents.decoded += 1
            return encoded
        encode.refuse(found.facts, self.shards)
        contents.copied += 1
        return Encoded(
            found.data, dict(found.facts), geometry.placement_of_facts(found.facts, self.shards)
        )


def _result(
    path: Path, fingerprint: str, contents: TarContents, sha256: str, size: int
) -> dict[str, Any]:
    """Return the part's line of the manifest and its rows of the reject file."""
    written = sum(sample.written for sample in contents.samples)
    line = {
        "name": path.name,
        "split": parts.split_of(path.stem),
        "fingerprint": fingerprint,
        "sha256": sha256 if written else "",
        "bytes": size if written else 0,
        "samples": written,
        "studies": len(contents.studies),
        "patients": len(contents.patients),
        "rejects": dict(sorted(Counter(lost.code for lost in contents.rejects).items())),
        "notes": dict(sorted(contents.notes.items())),
    }
    return {"line": line, "rejects": [dataclasses.asdict(lost) for lost in contents.rejects]}


def sample_of(
    data: bytes, study: Study, image: Image, texts: Mapping[str, Any], shards: Shards
) -> tuple[str, list[tuple[str, bytes]]]:
    """Return (key, [(member name, bytes)]) of one sample; `data` are the bytes of its image file.

    Raises IngestError with the code of what cannot be used.
    """
    from cxr_vlp.pipelines.imaging import encode

    key = sample_members.key_of(study, image)
    sample = SampleInput.of(study, image, texts, shards)
    encoded = encode.encode(data, suffix_of(image), shards, image.polarity)
    return key, sample.members(encoded, shards)


def encode_image(source_files: SourceFiles, image: Image, shards: Shards) -> Encoded:
    """Return the encoded image. Raises what SourceFiles.read and encode.encode raise."""
    from cxr_vlp.pipelines.imaging import encode

    return encode.encode(source_files.read(image), suffix_of(image), shards, image.polarity)


def suffix_of(image: Image) -> str:
    """Return the suffix of an image's file, with that before .gz: ".dcm", ".dcm.gz".

    A file whose name is a UID (1.2.840.1) has none.
    """
    path = Path(image.path)
    if path.suffix[1:].isdigit():
        return ""
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
