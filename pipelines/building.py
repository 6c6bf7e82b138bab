"""One part's inventory and texts in, one tar out: the work of stage `shards`.

Samples are written as they are made, so a worker holds one picture at a time; the tar appears
under its name only when it is whole and on the disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import fingerprints, parts, paths, pixels, samples, storage
from pipelines.faults import DataError, IngestError
from pipelines.inventory import sample_key
from pipelines.params import Shards
from pipelines.records import Image, Reject, Study, key_hash, reject, study_from_json
from pipelines.tars import TarWriter


@dataclass(frozen=True)
class ShardOfPart:
    """Build the tar of a part; called with the part's name, returns its manifest line."""

    root: str
    scan: str
    texts: str
    out: str
    counts: Mapping[str, int]
    salt: str
    shards: Shards

    def __call__(self, part: str) -> dict[str, Any]:
        """Write the part's tar (none for a part without samples); return line and rejects."""
        made: list[tuple[str, str]] = []
        studies: set[str] = set()
        patients: set[str] = set()
        rejects: list[Reject] = []
        path = Path(self.out) / parts.split_of(part) / f"{part}.tar"
        with storage.replacing(path) as stream:
            tar = TarWriter(stream)
            for study, image, texts in self._listed(part):
                try:
                    key, members = self._sample(study, image, texts)
                except IngestError as error:
                    rejects.append(reject(sample_key(study, image), error.code, "shards"))
                    continue
                for name, data in members:
                    tar.add(name, data)
                made.append((key, samples.fingerprint(study, image, texts, self.shards)))
                studies.add(study.key)
                patients.add(study.patient)
            sha256, size = tar.finish()
        if not made:
            path.unlink()
        line = {
            "name": path.name,
            "split": parts.split_of(part),
            "fingerprint": fingerprints.shard(self.counts, self.salt, made),
            "sha256": sha256 if made else "",
            "bytes": size if made else 0,
            "samples": len(made),
            "studies": len(studies),
            "patients": len(patients),
            "rejects": dict(sorted(Counter(r.code for r in rejects).items())),
        }
        return {"line": line, "rejects": [dataclasses.asdict(r) for r in rejects]}

    def _listed(self, part: str) -> Iterator[tuple[Study, Image, Mapping[str, Any]]]:
        """Yield every image whose study has texts, in the order of the tar."""
        written = Path(self.texts) / f"{part}.jsonl"
        texts = {row["key"]: row for row in storage.read_records(written)}
        with (Path(self.scan) / f"{part}.jsonl").open(encoding="utf-8") as lines:
            for study in map(study_from_json, lines):
                if study.key in texts:  # the others were rejected, and counted, by `texts`
                    for image in sorted(study.images, key=lambda image: image.key):
                        yield study, image, texts[study.key]

    def _sample(
        self, study: Study, image: Image, texts: Mapping[str, Any]
    ) -> tuple[str, list[tuple[str, bytes]]]:
        key = samples.key_of(study, image)
        samples.caption(texts, self.shards)  # before the costly part
        path = paths.inside(Path(self.root), image.path)
        try:
            data = path.read_bytes()
        except OSError:
            raise IngestError("image.unreadable") from None
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise DataError(
                "source.changed: a picture is not the one in the inventory; run scan again "
                f"({key_hash(key)})"
            )
        encoded = pixels.encode(data, _suffix(path), self.shards)
        sample = samples.document(study, image, texts, encoded, self.shards)
        return key, samples.members(key, sample, encoded.data, self.shards.format)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
