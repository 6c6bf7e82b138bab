"""One part's inventory and texts in, one tar out: the work of stage `shards`.

Samples are written as they are made, so a worker holds one picture at a time; the tar appears
under its name only when it is whole and on the disk.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.cache.entries import Receipt, Sample
from cxr_vlp.pipelines.cache.images import OldPictures
from cxr_vlp.pipelines.cache.incremental import Made
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.executor.worker import Desk
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.format.tar import TarWriter
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.imaging.geometry import of_facts
from cxr_vlp.pipelines.records import Image, Reject, Study, reject, study_from_json
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.stages import sample_members
from cxr_vlp.pipelines.stages.source_files import Originals

# What failed with these may do better next time: such a tar is not taken over as it is.
PASSING = ("image.io", "image.digest", "decode.crash", "decode.timeout")


@dataclass(frozen=True)
class Wanted:
    """One image that is to become a sample, and the digests of what decides its bytes."""

    study: Study
    image: Image
    texts: Mapping[str, Any]
    digests: Sample

    @property
    def picture(self) -> str:
        """The fingerprint of the encoded picture."""
        return self.digests.image


@dataclass
class Tally:
    """What has come together of a part while its tar is written."""

    samples: list[Sample] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)  # on the images that were written
    decoded: int = 0
    copied: int = 0


@dataclass(frozen=True)
class ShardOfPart:
    """A PartWork (reuse.py): the tar of a part, from its inventory and its texts."""

    originals: Originals
    scan: str
    texts: str
    counts: Mapping[str, int]
    salt: str
    shards: Shards

    def file(self, part: str) -> str:
        """Return the tar's path in the output."""
        return f"{parts.split_of(part)}/{part}.tar"

    def fingerprint(self, part: str) -> str:
        """Return the fingerprint of the part's tar; no picture is read."""
        return self._fingerprint(self.wanted(part))

    def wanted(self, part: str) -> Iterator[Wanted]:
        """Yield every image whose study has texts, in the order of the tar."""
        written = Path(self.texts) / f"{part}.jsonl"
        texts = {row["key"]: row for row in jsonl.read_records(written)}
        with (Path(self.scan) / f"{part}.jsonl").open(encoding="utf-8") as lines:
            for study in map(study_from_json, lines):
                if study.key in texts:  # the others were rejected, and counted, by `texts`
                    for image in sorted(study.images, key=lambda image: image.key):
                        yield self._one_wanted(study, image, texts[study.key])

    def make(self, part: str, path: Path, old: OldPictures, desk: Desk) -> Made:
        """Write the part's tar, none for a part without samples."""
        tally = Tally()
        wanted = list(self.wanted(part))
        old.expect({item.picture for item in wanted})
        with jsonl.replacing(path) as stream:
            digesting: Any = jsonl.Md5(stream)
            tar = TarWriter(digesting)
            for item in wanted:
                self._add(tar, item, old, desk, tally)
            sha256, size = tar.finish()
        written = any(sample.written for sample in tally.samples)
        if not written:
            path.unlink()
        return Made(
            sha256=sha256 if written else "",
            md5=digesting.hexdigest() if written else "",
            bytes=size if written else 0,
            result=_result(path, self._fingerprint(wanted), tally, sha256, size),
            samples=tuple(tally.samples),
            lasting=not any(lost.code in PASSING for lost in tally.rejects),
            decoded=tally.decoded,
            copied=tally.copied,
        )

    def agrees(self, receipt: Receipt) -> bool:
        """Tell whether a receipt's numbers fit each other: its samples, its line, its rejects."""
        line, rejects = receipt.result.get("line"), receipt.result.get("rejects")
        if not isinstance(line, dict) or not isinstance(rejects, list):
            return False
        written = [sample for sample in receipt.samples if sample.written]
        said = [line.get(name) for name in ("fingerprint", "samples", "sha256", "bytes")]
        if said != [receipt.fingerprint, len(written), receipt.sha256, receipt.bytes]:
            return False
        coded = Counter(row.get("code") for row in rejects)
        return line.get("rejects") == coded and len(rejects) + len(written) == len(receipt.samples)

    def _one_wanted(self, study: Study, image: Image, texts: Mapping[str, Any]) -> Wanted:
        picture = sample_members.image_fingerprint(study, image, self.shards)
        whole = sample_members.fingerprint(study, image, texts, self.shards, picture)
        key = ids.of_image(study, image)
        return Wanted(study, image, texts, Sample(key, image.sha256, picture, whole))

    def _fingerprint(self, wanted: Iterable[Wanted]) -> str:
        pairs = [(item.digests.key, item.digests.sample) for item in wanted]
        return fingerprints.shard(self.counts, self.salt, self.shards.limits(), pairs)

    def _add(
        self, tar: TarWriter, item: Wanted, old: OldPictures, desk: Desk, tally: Tally
    ) -> None:
        """Add one sample to the tar, or a reject to the tally."""
        try:
            sample_members.key_of(item.study, item.image)
            sample_members.caption(item.texts, self.shards)  # before the costly part
            encoded = self._picture(item, old, desk, tally)
        except IngestError as error:
            tally.rejects.append(reject(item.digests.key, error.code, "shards"))
            tally.samples.append(_short(item.digests, written=False))
            return
        for name, data in members_of(item.study, item.image, item.texts, encoded, self.shards):
            tar.add(name, data)
        tally.samples.append(_short(item.digests, written=True))
        tally.notes.update(encoded.facts["notes"])
        tally.studies.add(item.study.key)
        tally.patients.add(item.study.patient)

    def _picture(self, item: Wanted, old: OldPictures, desk: Desk, tally: Tally) -> encode.Encoded:
        """Return the picture out of an earlier tar, else decoded. Raises IngestError."""
        picture = old.find(item.picture)
        if picture is None:
            with desk.holding(key_hash(item.digests.key)):
                encoded = picture_of(self.originals, item.image, self.shards)
            tally.decoded += 1
            return encoded
        encode.refuse(picture.facts, self.shards)
        tally.copied += 1
        where = of_facts(picture.facts, self.shards)
        return encode.Encoded(picture.data, dict(picture.facts), where)


def _result(path: Path, fingerprint: str, tally: Tally, sha256: str, size: int) -> dict[str, Any]:
    """Return the part's line of the manifest and its rows of the reject file."""
    written = sum(sample.written for sample in tally.samples)
    line = {
        "name": path.name,
        "split": parts.split_of(path.stem),
        "fingerprint": fingerprint,
        "sha256": sha256 if written else "",
        "bytes": size if written else 0,
        "samples": written,
        "studies": len(tally.studies),
        "patients": len(tally.patients),
        "rejects": dict(sorted(Counter(lost.code for lost in tally.rejects).items())),
        "notes": dict(sorted(tally.notes.items())),
    }
    return {"line": line, "rejects": [dataclasses.asdict(lost) for lost in tally.rejects]}


def sample_of(
    root: paths.Root, study: Study, image: Image, texts: Mapping[str, Any], shards: Shards
) -> tuple[str, list[tuple[str, bytes]]]:
    """Return (key, [(member name, bytes)]) of one sample, made from its sources.

    Raises IngestError with the code of what cannot be used, DataError for a changed file.
    """
    key = sample_members.key_of(study, image)
    where = paths.tree(root)
    encoded = picture_of(Originals(str(where.root), links=where.links), image, shards)
    return key, members_of(study, image, texts, encoded, shards)


def picture_of(originals: Originals, image: Image, shards: Shards) -> encode.Encoded:
    """Return the encoded picture of an image. Raises what Originals.read and pixels.encode do."""
    path = Path(image.path)
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return encode.encode(originals.read(image), suffix, shards)


def members_of(
    study: Study,
    image: Image,
    texts: Mapping[str, Any],
    encoded: encode.Encoded,
    shards: Shards,
) -> list[tuple[str, bytes]]:
    """Return the (name, bytes) of a sample's three members."""
    made = sample_members.sample(
        study, image, texts, encoded, shards, sample_members.image_fingerprint(study, image, shards)
    )
    return sample_members.members(
        sample_members.key_of(study, image), made, encoded.data, shards.format
    )


def _short(sample: Sample, *, written: bool) -> Sample:
    """Return the sample as receipts keep it: 16 hex digits tell what moved."""
    return Sample(sample.key, sample.source[:16], sample.image[:16], sample.sample[:16], written)
