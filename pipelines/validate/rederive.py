"""Makes some samples of a finished set again from the raw files and compares them byte by byte.

This is the only check that does not rely on the set itself. The samples are chosen by
a seeded hash and spread over the shards; the texts of their studies are made again and compared
too. The raw tables must be those that scan read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.config import Params, Shards, Texts
from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format import fingerprints, tar, versions
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.pipelines.format.tar import Member
from cxr_vlp.pipelines.records import Image, Study, dumps, read_studies
from cxr_vlp.pipelines.sources import ids, reader
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.stages import parameter_check, text_resources
from cxr_vlp.pipelines.stages.shard_part import sample_of
from cxr_vlp.pipelines.stages.text_part import TextBuilder
from cxr_vlp.pipelines.validate.manifest import Declared

GONE, CHANGED = "source.gone", "source.changed"


@dataclass(frozen=True)
class Origin:
    """The folders and parameters that one set was made of."""

    root: paths.Root
    scan: Path
    texts: Path
    source: Source
    section: Texts  # the parameters that the texts were made with
    tables: Mapping[str, str]  # of the raw tables that scan read, by name: their digests

    @classmethod
    def of(
        cls, declared: Declared, root: Path, scan: Path, texts: Path, section: Texts | None = None
    ) -> Origin:
        """Find the set's own folders, if the folder holds those of several sources.

        `section` holds the parameters of `texts`; without it the defaults are taken.

        Raises ConfigError if the folders belong to another set, or if other code or other
        versions of the libraries made the set: every sample would then differ, as it should.
        """
        header, section = declared.header, section or Texts()
        if header.get("selection"):
            raise ConfigError(
                f"{declared.folder} is a selection: use --rederive on the set that it is from"
            )
        source = str(header["source"])
        raw, scan, texts = (_own(folder, source) for folder in (paths.root(root), scan, texts))
        listed = jsonl.read_header(scan, "inventory.json", "scan")
        read = jsonl.read_header(texts, "texts.json", "texts")
        cli.same_source(listed, source, scan)
        cli.same_source(read, source, texts)
        salt = listed["scan"]["salt"]
        if listed["parts"] != header["parts"] or salt != header["salt_sha256"]:
            raise ConfigError(f"{scan} was made with other parts or another salt than the set")
        if header["pixels_epoch"] != versions.PIXELS:
            raise ConfigError(f"{source}: made by other code than this; build the set again")
        here = fingerprints.pixel_toolchain()
        other = [name for name in here if header["toolchain"].get(name) != here[name]]
        if other:
            raise ConfigError(
                f"{source}: made with other versions of {', '.join(other)} than are installed; "
                "install those that the manifest names, or build the set again"
            )
        kind = reader(source, listed["reader"], preset=listed["preset"])
        tree = paths.RawTree(raw, bool(listed.get("links")))
        return cls(tree, scan, texts, kind, section, listed["tables"])


def _same_texts(read: Mapping[str, Any], section: Texts, folder: Path) -> None:
    """Raise ConfigError if texts were made with other parameters or files than are given."""
    given = {
        "epoch": versions.TEXTS,
        # as JSON has it: a list for a tuple
        "texts": json.loads(json.dumps(section.text_parameters())),
        "files": dict(_words(section).files),
    }
    other = [name for name, value in given.items() if read.get(name) != value]
    if other:
        raise ConfigError(
            f"{folder} was made with other {', '.join(other)} than the section `texts` of the "
            "parameters gives: name its parameter file with --params, or run texts again"
        )


@functools.cache
def _words(section: Texts) -> text_resources.TextResources:
    """Return the resources of the texts; loaded once per process, because they may be large."""
    return text_resources.load(section)


def _own(folder: Path, source: str) -> Path:
    below = folder / source
    return below if below.is_dir() else folder


@dataclass(frozen=True)
class Task:
    """The chosen samples of one tar, by their places in it."""

    tar: Path
    split: str
    places: tuple[int, ...]
    origin: Origin
    shards: Shards


@dataclass(frozen=True)
class Rederivation:
    """The arguments of --rederive; `root` "" means the root in the parameters."""

    number: int
    seed: int
    root: str
    scan: Path
    texts: Path
    settings: Params
    compared: bool = False  # whether the parameters are those of these sets

    def origin(self, a_set: Declared) -> Origin:
        """Return the folders that a set was made of. Raises ConfigError for other folders."""
        root = self.root or self.settings.collection(a_set.header["source"]).root
        section = self.settings.section("texts", Texts)
        return Origin.of(a_set, Path(root), self.scan, self.texts, section)

    def tasks(self, a_set: Declared) -> list[Task]:
        """Return the work on one set. Raises ConfigError if it was made of others."""
        origin = self.origin(a_set)
        if self.compared:
            self._agrees(a_set, origin)
        else:
            read = jsonl.read_header(origin.texts, "texts.json", "texts")
            _same_texts(read, origin.section, origin.texts)
        chosen = choose(a_set.tars, self.number, self.seed)
        return [
            Task(path, line["split"], tuple(chosen[line["name"]]), origin, a_set.shards)
            for line in a_set.tars
            if line["name"] in chosen and (path := a_set.path(line)).is_file()
        ]

    def _agrees(self, a_set: Declared, origin: Origin) -> None:
        """Compare the set and its folders with the parameters. Raises ConfigError."""
        listed = jsonl.read_header(origin.scan, "inventory.json", "scan")
        read = jsonl.read_header(origin.texts, "texts.json", "texts")
        parameter_check.inventory(listed, origin.scan, self.settings)
        parameter_check.texts(read, origin.texts, self.settings, origin.scan, listed)
        parameter_check.shards(a_set.header, a_set.folder, self.settings)


@dataclass
class Outcomes:
    """The results for the chosen samples of one tar."""

    compared: int = 0
    breaches: list[tuple[str, str]] = field(default_factory=list)  # (code, where)
    notes: Counter[str] = field(default_factory=Counter)


def choose(lines: Sequence[Mapping[str, Any]], number: int, seed: int) -> dict[str, list[int]]:
    """Return tar name -> places of `number` samples, or of all; the shards take turns."""
    turns = []
    for line in lines:
        order = sorted(range(line["samples"]), key=lambda i: _rank(seed, line["name"], i))
        turns += [
            (turn, _rank(seed, line["name"]), line["name"], i) for turn, i in enumerate(order)
        ]
    chosen: dict[str, list[int]] = {}
    for _, _, name, place in sorted(turns)[:number]:
        chosen.setdefault(name, []).append(place)
    return {name: sorted(places) for name, places in chosen.items()}


def _rank(*words: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, words)).encode()).hexdigest()


def remake(task: Task) -> Outcomes:
    """Make the chosen samples of a tar again and compare them; a missing source file is a note."""
    found = _members(task.tar, set(task.places))
    listed = _listed(task.origin, task.tar.stem, {members[0].name for members in found.values()})
    outcomes = Outcomes()
    for place in task.places:
        code = _compare(found[place], listed, task) if place in found else "sample.differs"
        if code == GONE:
            outcomes.notes[code] += 1
            continue
        outcomes.compared += 1
        if code:
            outcomes.breaches.append((code, f"{task.tar.name} sample {place}"))
    return outcomes


def tables(origin: Origin) -> list[str]:
    """Return the names of the raw tables that differ from those that scan read."""
    there = {table.name: table.path for table in origin.source.tables(origin.root) if table.path}
    odd = {name for name in there if name not in origin.tables}
    for name, digest in origin.tables.items():
        relative = there.get(name, "")
        path = paths.inside(origin.root, relative) if relative else None
        if path is None or not path.is_file() or jsonl.sha256(path) != digest:
            odd.add(name)
    return sorted(odd)


def layers(settings: Params, header: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the layers of a set (whose tables changed since scan, that the parameters lack).

    Raises ConfigError for a folder in the parameters that is not that of its layer.
    """
    here = {each.layer.name: each for each in settings.layers(str(header["source"]))}
    made = {each["name"]: each["tables"] for each in header["layers"]}
    odd = [
        name
        for name, each in here.items()
        if made.get(name)
        != {Path(t).name: jsonl.sha256(paths.inside(each.root, t)) for t in each.tables}
    ]
    return odd, sorted(made.keys() - here.keys())


def _members(path: Path, places: Collection[int]) -> dict[int, list[Member]]:
    """Return the members of the samples at these places; fewer where the tar is torn."""
    found = {}
    with path.open("rb") as stream:
        samples = groupby(tar.members(stream), key=lambda m: _key(m.name))
        with contextlib.suppress(FormatError):  # check_tar reports it
            for place, (_, members) in enumerate(samples):
                if place in places:
                    found[place] = list(members)
    return found


def _key(name: str) -> str:
    return name.rpartition(".")[0]


Listed = Mapping[str, tuple[Study, Image, Mapping[str, Any] | None]]


def _listed(origin: Origin, part: str, names: Collection[str]) -> Listed:
    """Return the rows of inventory and texts for these samples, by key."""
    wanted = {_key(name) for name in names}
    rows = jsonl.read_records(origin.texts / f"{part}.jsonl")
    texts = {row["key"]: row for row in rows}
    found = {}
    for study in read_studies(origin.scan / f"{part}.jsonl"):
        for image in study.images:
            key = ids.of_image(study, image)
            if key in wanted:
                found[key] = (study, image, texts.get(study.key))
    return found


def _compare(members: Sequence[Member], listed: Listed, task: Task) -> str:
    """Return the code of the breach of one sample, "" if there is none."""
    study, image, texts = listed.get(_key(members[0].name), (None, None, None))
    if study is None or image is None or texts is None:
        return "sample.unlisted"
    origin = task.origin
    try:
        path = paths.inside(origin.root, image.path)
        if not path.exists():
            return GONE
        paths.plain(path, "image")  # reading a FIFO in its place would never end
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if ids.digest(study, sha256) != _source_sha256(members):
            return CHANGED
        part = TextBuilder(
            origin.source,
            str(paths.tree(origin.root).root),
            str(origin.scan),
            origin.section,
            _words(origin.section),
            links=paths.tree(origin.root).links,
        )
        if _row(part, study) != dict(texts):
            return "texts.differ"
        if sha256 != image.sha256:  # the image is not the one in the inventory
            return CHANGED
        _, made = sample_of(data, study, image, texts, task.shards)
    except IngestError:
        return "sample.differs"
    except DataError as error:  # a report is not the one in the inventory
        code = str(error).split(":")[0]
        if code not in (GONE, CHANGED):
            raise
        return code
    same = made == [(member.name, member.data) for member in members]
    return "" if same else "sample.differs"


def _row(part: TextBuilder, study: Study) -> dict[str, Any]:
    """Return the texts that the raw report and the inventory's labels give, as JSON has them."""
    row: dict[str, Any] = json.loads(dumps(part.study(study, Counter())))
    return row


def _source_sha256(members: Sequence[Member]) -> str:
    """Return the digest of the file that a sample was made of, "" if the sample is broken."""
    try:
        return Sample.from_json(members[1].data).provenance.image_sha256
    except (FormatError, IndexError):
        return ""
