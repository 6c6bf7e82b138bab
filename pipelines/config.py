"""Reads params.yaml and checks all of it. Each section becomes one frozen dataclass.

params.yaml holds what changes the bytes of an output. Paths, the runner and the number of workers
are flags of the commands: the same inputs and parameters give the same bytes. The class of a
section declares its keys; nlp/config/settings checks the values and writes the messages.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config import plain_yaml, settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.nlp.config.settings import STRICT, Several
from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import SECTIONS as REPORT_SECTIONS
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.sources import layers
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.layers.base import OpenLayer
from cxr_vlp.pipelines.sources.leave_out import LeaveOut

Section = TypeVar("Section")

# All sections of params.yaml. train/config/params has the same names, and checks those of train.
SECTIONS = ("collections", "sources", "scan", "texts", "shards", "train", "evaluate", "report")
SECRET = ("scan",)  # no value of this section is shown in a message: it holds the salt

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
SectionName = Literal[REPORT_SECTIONS]  # type: ignore[valid-type]


def _every_split(parts: Mapping[str, int]) -> Mapping[str, int]:
    for name in parts:
        if name not in SPLITS:
            meant = settings.nearest(name, SPLITS)
            raise ValueError(f"unknown split {name!r}{meant}; known: {', '.join(SPLITS)}")
    lacking = [split for split in SPLITS if split not in parts]
    if lacking:
        raise ValueError(f"{lacking[0]} is missing: give a number for {', '.join(SPLITS)}")
    return parts


Parts = Annotated[
    Mapping[str, Annotated[int, Field(ge=1, le=100_000)]], AfterValidator(_every_split)
]


Layers = Annotated[Mapping[str, str], AfterValidator(layers.known)]


@dataclass(frozen=True, config=STRICT)
class Scan:
    """Section `scan`: the salt of hidden ids, and the splits if there is no official list."""

    salt: Annotated[str, Field(min_length=1)] = "cxr-vlp"
    validate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def __post_init__(self) -> None:
        if not self.validate + self.test < 1:
            raise ValueError("validate and test are fractions that leave room for train")


@dataclass(frozen=True, config=STRICT)
class Filter:
    """Section `texts.filter`: which sentences of a report its field `abnormal` keeps."""

    drop_normal: bool = True
    drop_nonfinding: bool = True  # technique, comparison, recommendations
    keep_devices: bool = True  # a line or tube is no finding, but the image shows it
    keep_uncertain: bool = True
    cut_mixed: bool = True  # of "hyperinflated but clear" keep the abnormal clause only
    # for a study with abnormal labels and no abnormal sentence: the first of these that has text is
    # used; if this is empty, nothing is used
    fallback: Several[Literal["impression", "statements", "prompt"]] = ()


@dataclass(frozen=True, config=STRICT)
class Texts:
    """Section `texts`: which texts are made from a report, or from labels if there is no report."""

    impressions: Literal["last", "first", "join"] = "last"  # of several impressions
    # the collection's own labels, or those read from the reports; the two are never mixed
    labels: Literal["source", "report"] = "source"
    prompts: Annotated[int, Field(ge=1, le=1000)] = 4  # K label-prompt texts for each study
    negatives: Annotated[int, Field(ge=0, le=1000)] = 3  # absent labels named in each of them
    seed: Seed = 0
    filter: Filter = Filter()
    model: str = ""  # an installed spaCy or scispaCy pipeline for words that the lexicon lacks
    exceptions: str = (
        ""  # a YAML file: studies whose sections are cut by hand (cxr_vlp.nlp.layout.sections)
    )
    bank: str = ""  # a YAML file of frames and names that replaces the built-in prompt bank
    translations: str = ""  # a file that `cxr-vlp translate` wrote: paraphrases of the texts

    def text_parameters(self) -> dict[str, Any]:
        """Return the parameters that change a text, without the user's files.

        The content of those files is hashed elsewhere.
        """
        named = dataclasses.asdict(self)
        own = ("model", "exceptions", "bank", "translations")
        return {k: v for k, v in named.items() if k not in own}


@dataclass(frozen=True, config=STRICT)
class Shards:
    """Section `shards`: first the pixels (a change decodes images again), then the caption."""

    # how stored values become grey levels
    recipe: Literal["voi", "minmax", "percentile", "mimic_jpg", "chexpert_jpg"] = "voi"
    # which side of the image becomes `side`; pad: the longest, padded to a square
    resize: Literal["shortest", "longest", "pad"] = "shortest"
    # in pixels; not named "size": DVC's run-cache does not hash keys of that name
    side: Annotated[int, Field(ge=16, le=8192)] = 512
    filter: Literal["area", "lanczos"] = "area"
    enlarge: bool = False  # false: an image smaller than `side` keeps its size
    format: Literal["jpg", "png"] = "jpg"
    quality: Annotated[int, Field(ge=1, le=100)] = 95  # of a jpg
    # an image whose header declares more is rejected before decoding
    max_megapixels: Annotated[int, Field(ge=1, le=4096)] = 64
    # a frontal image that PatientOrientation says is mirrored or rotated
    orient: Literal["note", "turn"] = "note"
    # an image listed as a chest radiograph whose DICOM header says otherwise:
    for_processing: Literal["note", "reject"] = "note"  # PresentationIntentType FOR PROCESSING
    body_part: Literal["note", "reject"] = "note"  # BodyPartExamined does not name the chest
    # Modality is not CR, DX, RG or RF; CT, MR, US, SR and the like are always rejected
    modality: Literal["note", "reject"] = "note"
    # the first that has text
    caption: Annotated[
        Several[Literal["findings", "impression", "abnormal", "prior_free", "prompt"]],
        Field(min_length=1),
    ] = ("impression", "findings", "prompt")
    sections: Several[SectionName] = ("indication", "technique", "comparison")

    def image_parameters(self) -> dict[str, Any]:
        """Return the parameters that change pixels; only these enter the image fingerprint."""
        names = ("recipe", "resize", "side", "filter", "enlarge", "format", "orient")
        chosen = {name: getattr(self, name) for name in names}
        return chosen | ({"quality": self.quality} if self.format == "jpg" else {})

    def limits(self) -> dict[str, Any]:
        """Return the parameters that decide which images are used, and change no pixel."""
        names = ("max_megapixels", "for_processing", "body_part", "modality")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, config=STRICT)
class Collection:
    """Section `sources.NAME`: where the raw tree is, its number of parts, the reader's options."""

    # the reader, where NAME is not the name of one: `table` for a collection of your own
    preset: str = ""
    root: str = ""
    parts: Parts = field(default_factory=lambda: {"train": 4, "validate": 1, "test": 1})
    # what to do about an image or report that is listed but not on disk
    missing: Literal["skip", "fail"] = "skip"
    # a stage that rejects a larger share of its images stops
    max_rejects: Annotated[float, Field(ge=0, le=1)] = 0.25
    # source: the publisher's patient, study and image ids, for joins with other tables; salted: all
    # three are hashed with scan.salt everywhere outside data/scan
    ids: Literal["source", "salted"] = "source"
    links: bool = False  # follow links that lead out of the root (git-annex, DataLad, shared disks)
    # read: hash every file; official: use the digests of the collection's SHA256SUMS.txt; `shards`
    # then rejects a file whose digest differs
    digests: Literal["read", "official"] = "read"
    # lists of the people, studies or images of it that another collection tests on
    leave_out: Several[LeaveOut] = ()
    # options of the collection's reader (cxr_vlp.pipelines.sources); its class declares them
    reader: Mapping[str, Any] = field(default_factory=dict)
    # annotation layers on the collection's images, and their folders: {mscxr: /data/ms-cxr}
    layers: Layers = field(default_factory=dict)


def build(kind: type[Section], values: Mapping[str, Any] | None, where: str) -> Section:
    """Return `kind(**values)`. Raises ConfigError with every unknown key and wrong value."""
    secret = where.rpartition(" ")[2].split(".")[0] in SECRET
    try:
        return settings.build(kind, values, where, secret=secret)
    except SettingsError as error:
        raise ConfigError(str(error)) from None


@dataclasses.dataclass(frozen=True)
class Params:
    """The content of a params.yaml file. A section that is absent has its defaults."""

    content: Mapping[str, Any]
    path: str = "params.yaml"

    def section(self, name: str, kind: type[Section]) -> Section:
        """Return the section `name` as a `kind`."""
        return build(kind, self.content.get(name), f"{self.path}: {name}")

    def collection(self, source: str) -> Collection:
        """Return the section `sources.SOURCE`."""
        of_sources = self.content.get("sources") or {}
        values = of_sources.get(source)
        if isinstance(values, Mapping) and values.get("reader", {}) is None:
            values = {**values, "reader": {}}
        made = build(Collection, values, f"{self.path}: sources.{source}")
        # their files stand beside params.yaml
        folder = Path(self.path).parent
        lists = (dataclasses.replace(each, file=str(folder / each.file)) for each in made.leave_out)
        return dataclasses.replace(made, leave_out=tuple(lists))

    def reader(self, source: str) -> Source:
        """Return the reader of a collection, with its options. Raises ConfigError, PluginError."""
        section = self.collection(source)
        return sources.reader(source, section.reader, self.path, section.preset)

    def layers(self, source: str) -> tuple[OpenLayer, ...]:
        """Return the layers of a collection, by name, with their tables. Raises ConfigError."""
        key = f"{self.path}: sources.{source}.layers"
        chosen = sorted(self.collection(source).layers.items())
        return tuple(
            OpenLayer.at(layers.layer(name), root, f"{key}.{name}") for name, root in chosen
        )

    def check(self) -> None:
        """Check every section of the pipelines, and the names of all sections.

        Raises ConfigError with file, key, the mistake and the allowed values.
        """
        found = self.content.get("sources")
        try:
            where = f"{self.path}: sources"
            of_sources = settings.value(Mapping[str, Any], {} if found is None else found, where)
            # a collection with a preset has any name
            own = [n for n, v in of_sources.items() if isinstance(v, Mapping) and v.get("preset")]
            kinds = tuple(dict.fromkeys([*sources.names(), *own]))
            settings.known(self.content, SECTIONS, self.path, "section")
            settings.known(of_sources, kinds, where, "collection")
            if "collections" in self.content:
                where = f"{self.path}: collections"
                chosen = settings.value(Chosen, self.content["collections"], where)
                settings.known(chosen, kinds, where, "collection")
        except SettingsError as error:
            raise ConfigError(str(error)) from None
        for name in of_sources:
            # a package that cannot be loaded stops the commands of its own collection only
            with contextlib.suppress(sources.PluginError):
                self.reader(name)
        for name, kind in (("scan", Scan), ("texts", Texts), ("shards", Shards)):
            self.section(name, kind)
        try:
            plain_yaml.hashed(self.content, self.path)
        except SettingsError as error:
            raise ConfigError(str(error)) from None


Chosen = Annotated[Several[str], Field(min_length=1)]


def load(path: Path | None) -> Params:
    """Read and check `path`, by default ./params.yaml; without that file all are defaults.

    Raises ConfigError for a mistake in any section of the pipelines, whether it is used or not.
    """
    if path is None:
        path = Path("params.yaml")
        if not path.exists():
            return Params({}, "the defaults")
    try:
        content = plain_yaml.read(path, SECRET)
    except SettingsError as error:
        raise ConfigError(str(error)) from None
    made = Params(content, str(path))
    made.check()
    return made
