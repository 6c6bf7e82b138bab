"""Leaves out people, studies or images that lists name: those that another collection tests on.

    sources:
      nih:
        leave_out:
          - {file: lists/rsna-to-nih.json, column: img_id, by: patient}

RSNA and SIIM are films of NIH, MS-CXR is a part of MIMIC, CheXlocalize of CheXpert: a model that
was trained on the one must not be tested on the other. What a text names is said by the reader of
the collection (`base.named`). The files are read and checked before anything else; then `met` finds
the ids that name a study, before its ids are hashed, and `kept` decides for all studies of a
patient together.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import id_lists, jsonl, paths
from cxr_vlp.pipelines.files.id_lists import ListedId
from cxr_vlp.pipelines.format.sample import KEY
from cxr_vlp.pipelines.records import Image, Lost, Reject, Study, reject
from cxr_vlp.pipelines.sources import base, ids
from cxr_vlp.pipelines.sources.base import Named, Source

Kind = Literal["patient", "study", "image"]
CODES: Mapping[Kind, str] = {
    "patient": "leave_out.patient",
    "study": "leave_out.study",
    "image": "leave_out.image",
}
UNMATCHED, NOBODY = "leave_out.unmatched", "leave_out.nobody"
_SUFFIX = re.compile(r"\.(?:png|jpe?g|dcm|dicom|gz|tiff?|bmp)\Z", re.I)
# a number that a reader gives to the images of every study: it names none of them
_COUNTER = re.compile(r"\d{1,3}", re.A)
_BREAKS = re.compile(r"[\s_./\\-]+")


@dataclass(frozen=True, config=STRICT)
class LeaveOut:
    """An entry of `sources.NAME.leave_out`: a list of ids, and what is left out for each."""

    file: str = ""  # relative: to the folder of params.yaml
    column: str = ""  # of a table, or the key of a JSON list's objects
    by: Kind = "patient"  # left out are all studies of the patient, the study, or the image alone
    # what the ids are, where their form does not tell; default: as `by`
    ids: Literal["", "patient", "study", "image"] = ""

    def __post_init__(self) -> None:
        if not self.file:
            raise ValueError("say which `file` has the ids")

    def facts(self, place: str) -> dict[str, str]:
        """Return what decides whom the entry leaves out; no path. `place` is for a message."""
        paths.refuse_address(self.file, f"{place}.file")
        path = Path(self.file)
        if not path.is_file():
            raise ConfigError(f"{place}: no file at {path}")
        how = {"column": self.column, "by": self.by, "ids": self.ids}
        return how | {"form": id_lists.form(path), "sha256": jsonl.sha256(path)}


class Hit(NamedTuple):
    """An id of a list that names a study, its patient, or one of its images."""

    list: int  # numbers of the list and of the id in it, from 0
    id: int
    image: str = ""  # the image's key outside data/scan; "" for the study or its patient


@dataclasses.dataclass(frozen=True)
class Met:
    """A study, and the ids that name it."""

    study: Study
    hits: tuple[Hit, ...] = ()


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is left of a patient's studies, and the images that were left out."""

    studies: tuple[Study, ...]
    rejects: tuple[Reject, ...]


@dataclasses.dataclass(frozen=True)
class IdList:
    """The ids of one list as look-up tables: what they name -> the number of the id."""

    by: Kind = "patient"
    total: int = 0  # different ids of this collection
    patients: Mapping[str, int] = field(default_factory=dict)
    studies: Mapping[str, int] = field(default_factory=dict)
    images: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (study or "", image)
    keys: Mapping[str, int] = field(default_factory=dict)  # of samples
    # the stem of a file's name -> (the folders before it, number of the id)
    files: Mapping[str, Sequence[tuple[tuple[str, ...], int]]] = field(default_factory=dict)

    def of_study(self, study: str, patient: str) -> set[int]:
        """Return the ids that name a study or its patient, under the source's own ids."""
        found = self.patients.get(plain(patient)), self.studies.get(plain(study))
        return {number for number in found if number is not None}

    def of_image(self, study: str, image: str, key: str, path: str = "") -> set[int]:
        """Return the ids that name an image; `key` is that of its sample."""
        found = [self.images.get((at, plain(image))) for at in ("", plain(study))]
        found.append(self.keys.get(key))
        if self.files:
            found += self._file(path or image)  # of a lost image the path is not known
        return {number for number in found if number is not None}

    def _file(self, path: str) -> Iterator[int]:
        """Yield the ids that name a file: their folders and its own agree as far as both go."""
        folders, stem = _tail(path)
        for stated, number in self.files.get(stem, ()):
            shorter = min(len(stated), len(folders))
            if stated[len(stated) - shorter :] == folders[len(folders) - shorter :]:
                yield number


def plain(text: str) -> str:
    """Return a form that is equal for an id in the other case or with other separators."""
    return _BREAKS.sub("-", text.casefold()).strip("-")


def _tail(path: str) -> tuple[tuple[str, ...], str]:
    """Return (folders, stem) of a path, in lower case and without the endings of images."""
    *folders, name = PurePosixPath(path.replace("\\", "/").lower()).parts
    while shorter := _SUFFIX.sub("", name):
        if shorter == name:
            break
        name = shorter
    return tuple(folders), name


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """All lists of a collection. It is pickled and sent to worker processes."""

    lists: tuple[IdList, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lists)

    @cached_property
    def _kinds(self) -> tuple[Kind, ...]:
        return tuple(each.by for each in self.lists)

    def met(self, found: Study, naming: ids.Ids, lost: Iterable[Lost]) -> Met:
        """Return a study with its ids as they appear outside data/scan, and the ids that name it.

        `lost` are images of the study that cannot be used: an id of one names its patient too.
        """
        study = naming.study(found)
        hits: list[Hit] = []
        for place, wanted in enumerate(self.lists):
            hits += (Hit(place, number) for number in wanted.of_study(found.key, found.patient))
            for own, image in zip(found.images, study.images, strict=True):
                key = ids.of_image(study, image)
                named = wanted.of_image(found.key, own.key, key, own.path)
                hits += (Hit(place, number, image.key) for number in named)
            hits += _of_lost(place, wanted, found.key, naming, lost)
        return Met(study, tuple(sorted(hits)))

    def kept(self, group: Iterable[Met]) -> Kept:
        """Return what is left of all studies of one patient."""
        group = sorted(group, key=lambda met: met.study.key)
        if any(self._kinds[hit.list] == "patient" for met in group for hit in met.hits):
            return Kept((), tuple(r for met in group for r in _rejects(met.study, "patient")))
        studies, rejects = [], []
        for met in group:
            if any(self._kinds[hit.list] == "study" for hit in met.hits):
                rejects += _rejects(met.study, "study")
                continue
            named = {hit.image for hit in met.hits}
            rejects += _rejects(met.study, "image", named)
            images = tuple(image for image in met.study.images if image.key not in named)
            if images:
                studies.append(dataclasses.replace(met.study, images=images))
        return Kept(tuple(studies), tuple(rejects))

    def notes(self, named: Mapping[int, int]) -> dict[str, int]:
        """Return the notes on ids that name nobody; `named`: list -> its ids that name somebody."""
        rest = [each.total - named.get(place, 0) for place, each in enumerate(self.lists)]
        none = sum(not named.get(place, 0) for place in range(len(self.lists)))
        return {k: n for k, n in ((UNMATCHED, sum(rest)), (NOBODY, none)) if n}


def _of_lost(
    place: int, wanted: IdList, study: str, naming: ids.Ids, lost: Iterable[Lost]
) -> Iterator[Hit]:
    for each in lost:
        if each.image:
            key = naming.key(study, each.image)
            numbers = wanted.of_image(study, each.image, key)
            yield from (Hit(place, number, each.image) for number in numbers)


def _rejects(study: Study, kind: Kind, named: set[str] | None = None) -> list[Reject]:
    chosen: list[Image] = [i for i in study.images if named is None or i.key in named]
    return [reject(ids.of_image(study, image), CODES[kind], "scan") for image in chosen]


def read(source: Source, entries: Sequence[LeaveOut], where: str) -> LeftOut:
    """Return the lists of a collection. `where` opens every message: "sources.nih.leave_out".

    Raises ConfigError with the file and the line for a file or an id that cannot be read.
    """
    return LeftOut(tuple(_list(source, entry, f"{where}[{n}]") for n, entry in enumerate(entries)))


def _list(source: Source, entry: LeaveOut, where: str) -> IdList:
    lookup = _Tables(entry.by)
    others = False
    for listed in id_lists.read(Path(entry.file), entry.column):
        if _of_another(source, listed):
            others = True  # such as the other half of a pair of near-duplicates
        elif not lookup.add(_names(source, entry, listed)):
            raise ConfigError(_unreadable(source, entry, listed, where))
    if not lookup.total:
        why = "of this collection, all are of others" if others else "in it"
        raise ConfigError(f"{where}: {entry.file}: there is no id {why}")
    return lookup.made()


def _of_another(source: Source, listed: ListedId) -> bool:
    if not listed.is_key:
        return False
    return listed.dataset not in ("", source.name) or not listed.text.startswith(f"{source.name}-")


def _names(source: Source, entry: LeaveOut, listed: ListedId) -> tuple[Named, str]:
    """Return what an id names, and the sample key that it may be."""
    text = listed.text
    is_key = text.startswith(f"{source.name}-") and text.count("-") > 1 and KEY.fullmatch(text)
    if listed.is_key:
        return Named(), text if is_key else ""
    return base.named(source, text, entry.ids or entry.by) or Named(), text if is_key else ""


def _unreadable(source: Source, entry: LeaveOut, listed: ListedId, where: str) -> str:
    needed = "" if entry.by == "patient" else f", and `by: {entry.by}` needs one of a {entry.by}"
    if entry.by == "study":
        needed += " or an image"
    return (
        f"{where}: {entry.file}, {listed.place}: no id of {source.name}{needed}; name another "
        "column, say in `ids` what the ids are, or remove the line"
    )


class _Tables:
    """Collects the look-up tables of one list."""

    def __init__(self, by: Kind) -> None:
        self.by = by
        self.total = 0
        self._named: dict[str, dict[Any, int]] = {n: {} for n in _TABLES}

    def add(self, names: tuple[Named, str]) -> bool:
        """Add an id; return whether it names something that `by` can leave out."""
        found = list(self._entries(*names))
        known = {self._named[table].get(name) for table, name in found} - {None}
        number = min((n for n in known if n is not None), default=self.total)
        for table, name in found:
            self._named[table].setdefault(name, number)
        self.total += bool(found) and number == self.total
        return bool(found)

    def _entries(self, named: Named, key: str) -> Iterator[tuple[str, Any]]:
        """Yield (table, what is looked up in it): the widest that `by` allows."""
        if key:
            yield "keys", key
        if named.patient and self.by == "patient":
            yield "patients", plain(named.patient)
        elif named.study and self.by != "image":
            yield "studies", plain(named.study)
        else:
            if named.image and (named.study or not _COUNTER.fullmatch(named.image)):
                yield "images", (plain(named.study), plain(named.image))
            if named.file:
                yield "files", _tail(named.file)

    def made(self) -> IdList:
        """Return the look-up tables."""
        files: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for (folders, stem), number in self._named.pop("files").items():
            files.setdefault(stem, []).append((folders, number))
        return IdList(self.by, self.total, files=files, **self._named)


_TABLES = ("patients", "studies", "images", "keys", "files")
