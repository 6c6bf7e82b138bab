"""Reads params.yaml: the sections `train`, `evaluate` and `report`, and the two that they share.

A command reads the file once, with `load`, and passes the `Params` object on. The whole file is
checked each time: a misspelt section or key stops every command, also one that does not use it. The
defaults are those that the commands use without a params file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from cxr_vlp.nlp.config.settings import STRICT, Several
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.sections import build, known, read_yaml
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols.protocol import Bank, Measuring, check_name

# All sections of params.yaml. `pipelines` checks its own sections; pipelines/config has this list.
SECTIONS = ("collections", "sources", "scan", "texts", "shards", "train", "evaluate", "report")
SECRET = ("scan",)  # values below it, such as the salt, never appear in a message

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def _recipe_name(name: str) -> str:
    if "/" not in name and not name.endswith((".yaml", ".yml")):
        known([name], recipe.names(), "not a path, and", "recipe")
    return name


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class TrainParams:
    """Section `train`: the recipe, the seed, and changes to the recipe."""

    # a name in train/recipes, or a path to a .yaml file; dvc.yaml passes it to the command
    recipe: Annotated[str, AfterValidator(_recipe_name)] = "chexzero_tiny"
    seed: Seed = 0  # of the weights, the order of the samples and every draw about a sample
    overrides: Mapping[str, Any] = field(default_factory=dict)  # e.g. {optim: {lr: 5.0e-4}}


TaskName = Literal["zeroshot", "retrieval", "grounding", "probe", "negation"]


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class EvaluateParams(Measuring):
    """Section `evaluate`: the protocol, changes to it, the tasks, and the intervals.

    Each key of `Measuring` that the section gives replaces the protocol's value. `bank` and
    `prompts` replace the bank of its prompts.
    """

    protocol: Annotated[str, Field(min_length=1)] = "ours"  # a name, or a path to a .yaml file
    tasks: Annotated[Several[TaskName], Field(min_length=1)] = ("zeroshot",)
    # the prompt bank of cxr_vlp.nlp.wording.prompts.zero_shot
    bank: Bank = "frames"
    prompts: str = ""  # a YAML file with own frames and names, as texts.bank
    # bootstrap resamples for an interval; 0: no intervals
    resamples: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    resample_by: Literal["patient", "image"] = "patient"  # the unit that is resampled
    seed: Seed = 0


# keys of the section `evaluate` that are no part of a protocol
BESIDE_PROTOCOL = ("protocol", "tasks", "bank", "prompts", "resamples", "resample_by", "seed")


def protocol_changes(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the keys of a section `evaluate`, as the file gives it, change in a protocol.

    `prompts: ""`, which means no own file, changes nothing.
    """
    changes = {key: value for key, value in section.items() if key not in BESIDE_PROTOCOL}
    prompts = {"bank": section.get("bank"), "file": section.get("prompts")}
    given = {key: value for key, value in prompts.items() if value}
    return changes | ({"prompts": given} if given else {})


def _not_a_number(value: Any) -> Any:
    """Refuse 1 and 0, which Python takes for true and false."""
    if type(value) in (int, float):
        raise ValueError(f"expected one of auto, true, false, found {value}")
    return value


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class ReportParams:
    """Section `report`: what the site shows."""

    # report text and captions: true | false | auto: not of credentialed or salted collections
    show_text: Annotated[Literal["auto", True, False], BeforeValidator(_not_a_number)] = "auto"
    # samples of each set in the report browser, balanced over the splits; 0: all
    samples: Annotated[int, Field(ge=0)] = 500


# The sections of this package. A new section is one line here, and its class.
OWN: Mapping[str, type] = {"train": TrainParams, "evaluate": EvaluateParams, "report": ReportParams}


@dataclass(frozen=True, slots=True)
class Params:
    """A params file, read and checked; without a file, the defaults."""

    path: Path | None = None
    train: TrainParams = field(default_factory=TrainParams)
    evaluate: EvaluateParams = field(default_factory=EvaluateParams)
    report: ReportParams = field(default_factory=ReportParams)
    collections: tuple[str, ...] | None = None  # None: the file names none
    shards: Mapping[str, Any] = field(default_factory=dict)  # as written; `pipelines` checks it
    changes: Mapping[str, Any] = field(default_factory=dict)  # of `evaluate`, to its protocol


def load(path: Path | None) -> Params:
    """Return the params file at `path`; the defaults for None.

    A file without one of the sections gives that section's defaults. Raises ConfigError for an
    unknown section or key, for a value of the wrong kind, and for `collections` that is no list of
    names.
    """
    if path is None:
        return Params()
    content = read_yaml(path, SECRET)
    known(content, SECTIONS, str(path), "section")
    own: dict[str, Any] = {
        name: build(cls, _section(content, name), f"{path}: {name}") for name, cls in OWN.items()
    }
    recipe.check_overrides(own["train"].overrides, f"{path}: train.overrides")
    check_name(own["evaluate"].protocol, f"{path}: evaluate.protocol")
    shards = content.get("shards")
    return Params(
        path,
        **own,
        collections=_collections(content.get("collections"), path),
        shards=shards if isinstance(shards, Mapping) else {},
        changes=protocol_changes(content.get("evaluate") or {}),
    )


def default_path() -> Path | None:
    """Return params.yaml of the current folder, or None where there is none."""
    path = Path("params.yaml")
    return path if path.is_file() else None


def _section(content: Mapping[str, Any], name: str) -> Any:
    """Return a section as the file gives it; an empty `overrides:` is no override."""
    values = content.get(name)
    if isinstance(values, Mapping) and values.get("overrides", {}) is None:
        return {**values, "overrides": {}}
    return values


def _collections(found: Any, path: Path) -> tuple[str, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(n, str) for n in found):
        raise ConfigError(f"{path}: collections: give a list of names, such as [mimic, openi]")
    return tuple(found)
