"""params.yaml in, one frozen dataclass per section out; an unknown key fails with the known ones.

Only what changes the bytes of an output lives in params.yaml. Paths, the runner and the number of
workers are flags of the commands, for the same inputs and parameters must give the same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipelines.faults import ConfigError
from pipelines.records import SPLITS
from pipelines.schema import SECTIONS

Section = TypeVar("Section")


@dataclass(frozen=True)
class Scan:
    """Section `scan`: how patients are hidden and, where no official list is, split."""

    salt: str = "cxr-vlp"
    validate: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        if not (self.validate >= 0 and self.test >= 0 and self.validate + self.test < 1):
            raise ConfigError("scan: validate and test are fractions that leave room for train")


@dataclass(frozen=True)
class Filter:
    """Section `texts.filter`: what stays of a report in its field `abnormal`."""

    drop_normal: bool = True
    drop_nonfinding: bool = True  # technique, comparison, recommendations
    keep_devices: bool = True  # a line is no finding, but it is in the picture
    keep_uncertain: bool = True
    cut_mixed: bool = True  # "hyperinflated but clear": only the clause that says something
    # what stands in where a study's labels are abnormal and no sentence is: the first with text of
    # impression, statements, prompt; empty: nothing does
    fallback: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallback", tuple(self.fallback))
        for name in self.fallback:
            _one_of("texts.filter.fallback", name, ("impression", "statements", "prompt"))


@dataclass(frozen=True)
class Texts:
    """Section `texts`: what is made of a report, or of labels where there is no report."""

    impressions: str = "last"  # of several impressions: last | first | join
    labels: str = "source"  # source | report; never mixed, as the two do not mean the same
    prompts: int = 4  # K label-prompt texts a study
    negatives: int = 3  # absent labels named in each of them
    seed: int = 0
    filter: Filter = Filter()
    model: str = ""  # an installed spaCy or scispaCy pipeline for what the lexicon does not know
    exceptions: str = ""  # a YAML file: studies whose sections are cut by hand (nlp.cutrules)
    bank: str = ""  # a YAML file of frames and names in place of our prompt bank
    translations: str = ""  # a file of train.translate: texts in other words

    def __post_init__(self) -> None:
        _one_of("texts.impressions", self.impressions, ("last", "first", "join"))
        _one_of("texts.labels", self.labels, ("source", "report"))
        if self.prompts < 1 or self.negatives < 0:
            raise ConfigError("texts: prompts must be at least 1, negatives at least 0")
        if not isinstance(self.filter, Filter):
            object.__setattr__(self, "filter", build(Filter, self.filter or {}, "texts.filter"))

    def text_parameters(self) -> dict[str, Any]:
        """Return the parameters that change a text; the user's files count by content elsewhere."""
        named = dataclasses.asdict(self)
        own = ("model", "exceptions", "bank", "translations")
        return {k: v for k, v in named.items() if k not in own}


@dataclass(frozen=True)
class Shards:
    """Section `shards`: pixels first (they decide what is decoded again), then the caption."""

    recipe: str = "voi"  # grey values: voi | minmax | percentile | mimic_jpg | chexpert_jpg
    resize: str = "shortest"  # which one becomes `side`: shortest | longest | pad (to a square)
    side: int = 512  # pixels; not "size", a name that DVC's run-cache leaves out of what it hashes
    filter: str = "area"  # area | lanczos
    enlarge: bool = False  # a picture smaller than `side` stays as it is
    format: str = "jpg"  # jpg | png
    quality: int = 95  # of a jpg
    max_megapixels: int = 64  # a larger declared size is refused before decoding
    caption: tuple[str, ...] = ("impression", "findings", "prompt")  # the first that has text
    sections: tuple[str, ...] = ("indication", "technique", "comparison")

    def __post_init__(self) -> None:
        recipes = ("voi", "minmax", "percentile", "mimic_jpg", "chexpert_jpg")
        _one_of("shards.recipe", self.recipe, recipes)
        _one_of("shards.resize", self.resize, ("shortest", "longest", "pad"))
        _one_of("shards.filter", self.filter, ("area", "lanczos"))
        _one_of("shards.format", self.format, ("jpg", "png"))
        object.__setattr__(self, "caption", tuple(self.caption))
        object.__setattr__(self, "sections", tuple(self.sections))
        for name in self.caption:
            _one_of("shards.caption", name, ("findings", "impression", "abnormal", "prompt"))
        for name in self.sections:
            _one_of("shards.sections", name, SECTIONS)
        if not 16 <= self.side <= 8192 or not 1 <= self.quality <= 100:
            raise ConfigError("shards: side is 16 to 8192 pixels, quality 1 to 100")

    def image_parameters(self) -> dict[str, Any]:
        """Return the parameters that change pixels; only these enter the image fingerprint."""
        names = ("recipe", "resize", "side", "filter", "enlarge", "format")
        chosen = {name: getattr(self, name) for name in names}
        return chosen | ({"quality": self.quality} if self.format == "jpg" else {})


@dataclass(frozen=True)
class Collection:
    """Section `sources.NAME`: where the raw tree is, how many parts, what the reader may choose."""

    root: str = ""
    parts: Mapping[str, int] = field(default_factory=lambda: {"train": 4, "validate": 1, "test": 1})
    missing: str = "skip"  # an image or report that is listed but not on disk: skip | fail
    # the largest share of the images at hand that one stage may reject; above it the stage stops
    max_rejects: float = 0.25
    # source: patient, study and image ids as the publisher made them up, for joins with other
    # tables; salted: all three are hashed with scan.salt everywhere outside data/scan
    ids: str = "source"
    links: bool = False  # follow links that lead out of the root (git-annex, DataLad, shared disks)
    # read: hash every file; official: believe the collection's own SHA256SUMS.txt until `shards`
    # reads the file, and reject what differs then
    digests: str = "read"
    reader: Mapping[str, Any] = field(default_factory=dict)  # options of the source's own reader

    def __post_init__(self) -> None:
        _one_of("missing", self.missing, ("skip", "fail"))
        _one_of("ids", self.ids, ("source", "salted"))
        if not 0 <= self.max_rejects <= 1:
            raise ConfigError("max_rejects: a share of the images, from 0 to 1")
        _one_of("digests", self.digests, ("read", "official"))
        if set(self.parts) != set(SPLITS) or any(
            not isinstance(n, int) or n < 1 for n in self.parts.values()
        ):
            raise ConfigError("parts: give a number of at least 1 for train, validate and test")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: {value!r} is none of {', '.join(known)}")


def build(kind: type[Section], values: Mapping[str, Any], where: str) -> Section:
    """Return `kind(**values)`; an unknown key raises ConfigError that names the known keys."""
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


@dataclass(frozen=True)
class Params:
    """A params.yaml file as read; sections are built on demand, defaults where they are absent."""

    content: Mapping[str, Any]

    def section(self, name: str, kind: type[Section]) -> Section:
        """Return the section `name` as a `kind`."""
        return build(kind, self.content.get(name) or {}, name)

    def collection(self, source: str) -> Collection:
        """Return what `sources.SOURCE` says."""
        sections = self.content.get("sources") or {}
        return build(Collection, sections.get(source) or {}, f"sources.{source}")


def load(path: Path | None) -> Params:
    """Read `path`; without one, ./params.yaml; without that, every section has its defaults."""
    if path is None:
        path = Path("params.yaml")
        if not path.exists():
            return Params({})
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no parameter file at {path}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{line}") from None
    if content is not None and not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected sections, found {type(content).__name__}")
    return Params(content or {})
