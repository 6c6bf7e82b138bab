"""params.yaml is read and checked as a whole; each section becomes one frozen dataclass.

Only what changes the bytes of an output lives in params.yaml. Paths, the runner and the number of
workers are flags of the commands, for the same inputs and parameters must give the same bytes.
What a section may hold is what its class declares; nlp/config/settings says how a value is refused.
"""

from __future__ import annotations

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
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import SECTIONS as REPORT_SECTIONS
from cxr_vlp.pipelines.format.sample import SPLITS

Section = TypeVar("Section")

# All sections of params.yaml: those of train are its own to check. train/config/params has the
# same names.
SECTIONS = ("collections", "sources", "scan", "texts", "shards", "train", "evaluate", "report")
SECRET = ("scan",)  # what stands here never comes into a message: the salt, under any name

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


@dataclass(frozen=True, config=STRICT)
class Scan:
    """Section `scan`: how patients are hidden and, where no official list is, split."""

    salt: Annotated[str, Field(min_length=1)] = "cxr-vlp"
    validate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def __post_init__(self) -> None:
        if not self.validate + self.test < 1:
            raise ValueError("validate and test are fractions that leave room for train")


@dataclass(frozen=True, config=STRICT)
class Filter:
    """Section `texts.filter`: what stays of a report in its field `abnormal`."""

    drop_normal: bool = True
    drop_nonfinding: bool = True  # technique, comparison, recommendations
    keep_devices: bool = True  # a line is no finding, but it is in the picture
    keep_uncertain: bool = True
    cut_mixed: bool = True  # "hyperinflated but clear": only the clause that says something
    # what stands in where a study's labels are abnormal and no sentence is: the first with text;
    # empty: nothing does
    fallback: Several[Literal["impression", "statements", "prompt"]] = ()


@dataclass(frozen=True, config=STRICT)
class Texts:
    """Section `texts`: what is made of a report, or of labels where there is no report."""

    impressions: Literal["last", "first", "join"] = "last"  # of several impressions
    # never mixed, as the two do not mean the same
    labels: Literal["source", "report"] = "source"
    prompts: Annotated[int, Field(ge=1, le=1000)] = 4  # K label-prompt texts a study
    negatives: Annotated[int, Field(ge=0, le=1000)] = 3  # absent labels named in each of them
    seed: Seed = 0
    filter: Filter = Filter()
    model: str = ""  # an installed spaCy or scispaCy pipeline for what the lexicon does not know
    exceptions: str = (
        ""  # a YAML file: studies whose sections are cut by hand (cxr_vlp.nlp.cut_rules)
    )
    bank: str = ""  # a YAML file of frames and names in place of our prompt bank
    translations: str = ""  # a file of cxr-vlp translate: texts in other words

    def text_parameters(self) -> dict[str, Any]:
        """Return the parameters that change a text; the user's files count by content elsewhere."""
        named = dataclasses.asdict(self)
        own = ("model", "exceptions", "bank", "translations")
        return {k: v for k, v in named.items() if k not in own}


@dataclass(frozen=True, config=STRICT)
class Shards:
    """Section `shards`: pixels first (they decide what is decoded again), then the caption."""

    recipe: Literal["voi", "minmax", "percentile", "mimic_jpg", "chexpert_jpg"] = "voi"  # grey
    # which one becomes `side`; pad: to a square
    resize: Literal["shortest", "longest", "pad"] = "shortest"
    # pixels; not "size", a name that DVC's run-cache leaves out of what it hashes
    side: Annotated[int, Field(ge=16, le=8192)] = 512
    filter: Literal["area", "lanczos"] = "area"
    enlarge: bool = False  # a picture smaller than `side` stays as it is
    format: Literal["jpg", "png"] = "jpg"
    quality: Annotated[int, Field(ge=1, le=100)] = 95  # of a jpg
    # a larger declared size is refused before decoding
    max_megapixels: Annotated[int, Field(ge=1, le=4096)] = 64
    # a frontal image that PatientOrientation says is mirrored or rotated
    orient: Literal["note", "turn"] = "note"
    # what becomes of an image whose DICOM header says so, though the collection lists it as a
    # chest radiograph
    for_processing: Literal["note", "reject"] = "note"  # PresentationIntentType FOR PROCESSING
    body_part: Literal["note", "reject"] = "note"  # BodyPartExamined is no word for the chest
    # Modality is none of CR, DX, RG, RF; CT, MR, US, SR ... are never taken
    modality: Literal["note", "reject"] = "note"
    # the first that has text
    caption: Annotated[
        Several[Literal["findings", "impression", "abnormal", "prompt"]], Field(min_length=1)
    ] = ("impression", "findings", "prompt")
    sections: Several[SectionName] = ("indication", "technique", "comparison")

    def image_parameters(self) -> dict[str, Any]:
        """Return the parameters that change pixels; only these enter the image fingerprint."""
        names = ("recipe", "resize", "side", "filter", "enlarge", "format", "orient")
        chosen = {name: getattr(self, name) for name in names}
        return chosen | ({"quality": self.quality} if self.format == "jpg" else {})

    def limits(self) -> dict[str, Any]:
        """Return the parameters that decide no pixels, but which images there are."""
        names = ("max_megapixels", "for_processing", "body_part", "modality")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, config=STRICT)
class Collection:
    """Section `sources.NAME`: where the raw tree is, how many parts, what the reader may choose."""

    root: str = ""
    parts: Parts = field(default_factory=lambda: {"train": 4, "validate": 1, "test": 1})
    # an image or report that is listed but not on disk
    missing: Literal["skip", "fail"] = "skip"
    # the largest share of the images at hand that one stage may reject; above it the stage stops
    max_rejects: Annotated[float, Field(ge=0, le=1)] = 0.25
    # source: patient, study and image ids as the publisher made them up, for joins with other
    # tables; salted: all three are hashed with scan.salt everywhere outside data/scan
    ids: Literal["source", "salted"] = "source"
    links: bool = False  # follow links that lead out of the root (git-annex, DataLad, shared disks)
    # read: hash every file; official: believe the collection's own SHA256SUMS.txt until `shards`
    # reads the file, and reject what differs then
    digests: Literal["read", "official"] = "read"
    # options of the source's own reader (cxr_vlp.pipelines.sources), checked by its class
    reader: Mapping[str, Any] = field(default_factory=dict)


def build(kind: type[Section], values: Mapping[str, Any] | None, where: str) -> Section:
    """Return `kind(**values)`. Raises ConfigError with every unknown key and wrong value."""
    secret = where.rpartition(" ")[2].split(".")[0] in SECRET
    try:
        return settings.build(kind, values, where, secret=secret)
    except SettingsError as error:
        raise ConfigError(str(error)) from None


@dataclasses.dataclass(frozen=True)
class Params:
    """A params.yaml file as read; sections are built on demand, defaults where they are absent."""

    content: Mapping[str, Any]
    path: str = "params.yaml"

    def section(self, name: str, kind: type[Section]) -> Section:
        """Return the section `name` as a `kind`."""
        return build(kind, self.content.get(name), f"{self.path}: {name}")

    def collection(self, source: str) -> Collection:
        """Return what `sources.SOURCE` says."""
        of_sources = self.content.get("sources") or {}
        values = of_sources.get(source)
        if isinstance(values, Mapping) and values.get("reader", {}) is None:
            values = {**values, "reader": {}}
        return build(Collection, values, f"{self.path}: sources.{source}")

    def check(self) -> None:
        """Check every section that is this room's, and the names of all.

        Raises ConfigError with file, key, what is wrong and what is allowed.
        """
        from cxr_vlp.pipelines import sources  # it needs what is above

        kinds = tuple(sources.KINDS)
        try:
            settings.known(self.content, SECTIONS, self.path, "section")
            if "collections" in self.content:
                where = f"{self.path}: collections"
                chosen = settings.value(Chosen, self.content["collections"], where)
                settings.known(chosen, kinds, where, "collection")
            where, found = f"{self.path}: sources", self.content.get("sources")
            of_sources = settings.value(Mapping[str, Any], {} if found is None else found, where)
            settings.known(of_sources, kinds, where, "collection")
        except SettingsError as error:
            raise ConfigError(str(error)) from None
        for name in of_sources:
            sources.reader(name, self.collection(name).reader, self.path)
        for name, kind in (("scan", Scan), ("texts", Texts), ("shards", Shards)):
            self.section(name, kind)
        try:
            plain_yaml.hashed(self.content, self.path)
        except SettingsError as error:
            raise ConfigError(str(error)) from None


Chosen = Annotated[Several[str], Field(min_length=1)]


def load(path: Path | None) -> Params:
    """Read and check `path`; without one, ./params.yaml; without that, all sections' defaults.

    Raises ConfigError for what is wrong in any section of this room, whether it is used or not.
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
