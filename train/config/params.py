"""`params.yaml` comes in, the sections of this room go out as frozen dataclasses.

What a section may hold is what its class declares; the defaults are the ones the commands run with
when no params file is given. A file is checked as a whole: a misspelt section or key fails in every
command, also in one that does not use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT, Several
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.build import build, known, read_yaml
from cxr_vlp.train.config.recipe import View

T = TypeVar("T")

# All sections of params.yaml: those of pipelines are its own to check. pipelines/config has the
# same names.
SECTIONS = ("collections", "sources", "scan", "texts", "shards", "train", "evaluate", "report")
SECRET = ("scan",)  # what stands here never comes into a message: the salt, under any name

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def _named(name: str) -> str:
    if "/" not in name and not name.endswith((".yaml", ".yml")):
        known([name], recipe.names(), "not a path, and", "recipe")
    return name


@dataclass(frozen=True, slots=True, config=STRICT)
class Train:
    """Section `train`: which recipe, which seed, and what to change in the recipe."""

    # a name in train/recipes or a path to a .yaml; the stage passes it on
    recipe: Annotated[str, AfterValidator(_named)] = "chexzero_tiny"
    seed: Seed = 0  # of the weights, the order and every random choice about a sample
    overrides: Mapping[str, Any] = field(default_factory=dict)  # e.g. {optim: {lr: 5.0e-4}}


@dataclass(frozen=True, slots=True, config=STRICT)
class Evaluate:
    """Section `evaluate`: which labels, how a row becomes 1 or 0, how intervals come."""

    labels: Several[str] = ()  # display names; empty: every label that a source names
    # the prompt bank of cxr_vlp.nlp.prompts.zero_shot
    bank: Literal["pair", "there_is", "direct", "frames", "products"] = "frames"
    prompts: str = ""  # a YAML file of frames and names in place of our own, as texts.bank
    uncertain: Literal["exclude", "positive", "negative"] = "exclude"  # -1
    unmentioned: Literal["negative", "exclude"] = "negative"  # no key
    views: Several[View] = ()  # e.g. [frontal]; empty: every image
    # a label with fewer positives or negatives is listed, not measured
    min_positives: Annotated[int, Field(ge=1)] = 1
    # bootstrap resamples behind an interval; 0: no intervals
    resamples: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    resample_by: Literal["patient", "image"] = "patient"  # what is drawn with replacement
    seed: Seed = 0


def _no_number(value: Any) -> Any:
    """Refuse 1 and 0, which are equal to true and false."""
    if type(value) in (int, float):
        raise ValueError(f"expected one of auto, true, false, found {value}")
    return value


@dataclass(frozen=True, slots=True, config=STRICT)
class Report:
    """Section `report`: what the page shows."""

    # report text and captions: true | false | auto: not of sets whose collection is credentialed
    show_text: Annotated[Literal["auto", True, False], BeforeValidator(_no_number)] = "auto"


# The sections of this room; a new one is a line here, and its class.
OWN: Mapping[str, type] = {"train": Train, "evaluate": Evaluate, "report": Report}


def read(path: Path | None, section: str, cls: type[T]) -> T:
    """Return one section of a params file; the class's defaults where there is no file.

    A file without the section gives the defaults too: a section is optional, an unknown key in it
    is not. Raises ConfigError for what is wrong in any section of this room.
    """
    if path is None:
        return cls()
    content = whole(path)
    return build(cls, _said(content, section), f"{path}: {section}")


def default() -> Path | None:
    """Return params.yaml of the current folder, None where there is none."""
    path = Path("params.yaml")
    return path if path.is_file() else None


def whole(path: Path) -> dict[str, Any]:
    """Return what a params file says. Raises ConfigError for anything wrong in this room's part."""
    content = read_yaml(path, SECRET)
    known(content, SECTIONS, str(path), "section")
    for name, cls in OWN.items():
        build(cls, _said(content, name), f"{path}: {name}")
    overrides = (_said(content, "train") or {}).get("overrides")
    recipe.check_overrides(overrides, f"{path}: train.overrides")
    return content


def _said(content: Mapping[str, Any], section: str) -> Any:
    """Return what the file says of a section; `overrides:` with nothing below says nothing."""
    values = content.get(section)
    if isinstance(values, Mapping) and values.get("overrides", {}) is None:
        return {**values, "overrides": {}}
    return values
