"""`params.yaml` comes in, its sections `train`, `evaluate`, `report` go out as frozen dataclasses.

What a section may hold is what its class declares; the defaults are the ones the commands run with
when no params file is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from train.errors import ConfigError
from train.sections import build, read_yaml

T = TypeVar("T")

UNCERTAIN = ("exclude", "positive", "negative")
UNMENTIONED = ("negative", "exclude")
RESAMPLED = ("patient", "image")


@dataclass(frozen=True, slots=True)
class Train:
    """Section `train`: which recipe, which seed, and what to change in the recipe."""

    recipe: str = "chexzero_tiny"  # a name in train/recipes or a path; the stage passes it on
    seed: int = 0  # of the weights, the order and every random choice about a sample
    overrides: Mapping[str, Any] = field(default_factory=dict)  # e.g. {optim: {lr: 0.0005}}


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Section `evaluate`: which labels, how a row becomes 1 or 0, how intervals come."""

    labels: tuple[str, ...] = ()  # display names; empty: every label that a source names
    bank: str = "frames"  # the prompt bank of nlp.prompts.zero_shot
    prompts: str = ""  # a YAML file of frames and names in place of our own, as texts.bank
    uncertain: str = "exclude"  # -1: exclude | positive | negative
    unmentioned: str = "negative"  # no key: negative | exclude
    views: tuple[str, ...] = ()  # e.g. [frontal]; empty: every image
    min_positives: int = 1  # a label with fewer positives or negatives is listed, not measured
    resamples: int = 1000  # bootstrap resamples behind an interval; 0: no intervals
    resample_by: str = "patient"  # patient | image: what is drawn with replacement
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("uncertain", self.uncertain, UNCERTAIN)
        _one_of("unmentioned", self.unmentioned, UNMENTIONED)
        _one_of("resample_by", self.resample_by, RESAMPLED)
        for name, least in (("resamples", 0), ("min_positives", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: {getattr(self, name)} is below {least}")


@dataclass(frozen=True, slots=True)
class Report:
    """Section `report`: what the page shows."""

    # report text and captions: true | false | auto: not of sets whose collection is credentialed
    show_text: Literal["auto", True, False] = "auto"


def read(path: Path | None, section: str, cls: type[T]) -> T:
    """Return one section of a params file; the class's defaults where there is no file.

    A file without the section gives the defaults too: a section is optional, an unknown key in it
    is not.
    """
    if path is None:
        return cls()
    values = read_yaml(path).get(section) or {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: {section}: expected keys and values")
    return build(cls, values, f"{path}: {section}")


def default() -> Path | None:
    """Return params.yaml of the current folder, None where there is none."""
    path = Path("params.yaml")
    return path if path.is_file() else None


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")
