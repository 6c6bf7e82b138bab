"""Gives samples their ids: those of the publisher, or salted hashes of them.

The ids of a published collection were invented by its publisher, and researchers join other tables
on them (MS-CXR, Chest ImaGenome, CheXlocalize): `ids: source` keeps them unchanged. The ids of a
hospital's own collection identify people: with `ids: salted` the ids of patients, studies and
images are hashed as soon as `scan` has joined a study. Only data/scan then has both forms; its
ids.csv maps the hashes back. The digests of the hospital's files are hidden as well: somebody who
knows a short report except for the name in its header could find the name by trying.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import environment, jsonl
from cxr_vlp.pipelines.format.sample import key_hash, sample_key
from cxr_vlp.pipelines.records import Image, Lost, Reject, Study, study_from_json

PUBLIC_SALT = "cxr-vlp"  # the default of scan.salt, which is no secret
SHORTEST = 16  # characters of a secret salt: a shorter one can be guessed
MAP = "ids.csv"  # in data/scan of a salted collection: from samples back to the source's ids
COLUMNS = ("key", "patient", "study", "image")
HASHED = re.compile(r"[0-9a-f]{16}")  # a salted id


def salt(text: str) -> str:
    """Return the salt that `scan.salt` gives. Raises ConfigError for an unset variable."""
    return environment.value(text, "scan.salt")


def warn_of_open_salt(text: str, out: Path) -> None:
    """Warn of a secret salt that stands in the params.yaml of a repository.

    Git and dvc.lock keep it, and whoever has salt and shards can test guesses of ids.
    """
    shared = any((folder / ".git").exists() for folder in out.absolute().parents)
    if shared and not text.startswith(environment.PREFIX):
        sys.stderr.write(
            "warning: scan.salt stands in params.yaml, and git and dvc.lock keep it: whoever gets "
            "this repository can find out ids by trying. Write `salt: env:NAME`, take a new salt "
            "if this one was ever committed, and run all stages again\n"
        )


@dataclass(frozen=True)
class Ids:
    """How the ids of one collection appear outside data/scan."""

    source: str
    salt: str
    salted: bool = False

    def check(self) -> None:
        """Refuse a salt that is public or short. Raises ConfigError with the remedy."""
        if self.salted and (self.salt == PUBLIC_SALT or len(self.salt) < SHORTEST):
            raise ConfigError(
                f"sources.{self.source}.ids: salted needs a secret scan.salt of at least "
                f"{SHORTEST} characters, e.g. from "
                '`python -c "import secrets; print(secrets.token_hex(16))"`. '
                "`salt: env:CXR_SALT` reads it from that variable, so that it stays out of git"
            )

    def study(self, study: Study) -> Study:
        """Return the study with its ids; a salted one keeps the source's ids in `origin`."""
        if not self.salted:
            return study
        images = tuple(
            dataclasses.replace(image, key=self._image(study.key, image.key), origin=image.key)
            for image in study.images
        )
        return dataclasses.replace(
            study,
            key=self._hash("study", study.key),
            patient=self._hash("patient", study.patient),
            images=images,
            origin=study.key,
            origin_patient=study.patient,
            secret=self._hash("digests"),
        )

    def reject(self, study: str, lost: Lost) -> Reject:
        """Return the reject row for something lost; `study` is the source's own study key."""
        return Reject(key_hash(self.key(study, lost.image)), lost.code, "scan", lost.images)

    def key(self, study: str, image: str) -> str:
        """Return the sample key of an image, or of a whole study for the image ""."""
        if self.salted:
            image = self._image(study, image) if image else ""
            study = self._hash("study", study)
        return sample_key(self.source, study, image) if image else f"{self.source}-{study}"

    def _image(self, study: str, image: str) -> str:
        return self._hash("image", study, image)

    def _hash(self, *words: str) -> str:
        text = "\x1f".join((self.salt, self.source, *words))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def of_image(study: Study, image: Image) -> str:
    """Return the key of an image's sample."""
    return sample_key(study.source, study.key, image.key)


def of_origin(study: Study) -> str:
    """Return the source's own id of a study, as it is written in the user's files."""
    return study.origin or study.key


def digest(study: Study, sha256: str) -> str:
    """Return the digest of a study's file for use outside data/scan; "" stays ""."""
    if not (study.secret and sha256):
        return sha256
    return hashlib.sha256(f"{study.secret}\x1f{sha256}".encode()).hexdigest()


def write_map(folder: Path, parts: Sequence[str]) -> None:
    """Write ids.csv, readable only by its owner: sample key -> the source's own ids.

    `parts` are the names of the inventory's files in `folder`.
    """
    with jsonl.replacing(folder / MAP) as stream:
        os.fchmod(stream.fileno(), 0o600)
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        for part in parts:
            with (folder / f"{part}.jsonl").open(encoding="utf-8") as lines:
                for study in map(study_from_json, lines):
                    origins = (study.origin_patient, study.origin)
                    for image in study.images:
                        rows.writerow((of_image(study, image), *origins, image.origin))
        text.detach()  # `replacing` closes the stream
