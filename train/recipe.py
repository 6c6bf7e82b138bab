"""A recipe's name or path and overrides come in, one frozen `Recipe` goes out.

A recipe is a YAML file that may name another one as its `base`; it then holds only what differs.
One published method is one file in `train/recipes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.errors import ConfigError
from train.sections import build, merge, read_yaml

RECIPES = Path(__file__).with_name("recipes")
FITS = ("pad", "shortest")
OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Model:
    """Which towers: a model that open_clip knows (ours are in train/models), and its weights."""

    name: str = "ViT-B-32"
    pretrained: str = ""  # an open_clip tag, a local checkpoint, or "" for random weights
    init_scale: float = 0.07  # the softmax temperature the training starts from


@dataclass(frozen=True, slots=True)
class Pictures:
    """How a stored picture becomes the model's square, and how it varies while training."""

    views: tuple[str, ...] = ()  # e.g. [frontal]: what is trained on; empty: every film. An epoch's
    # length is counted before they are left out, as only a film's record tells its view
    fit: str = "pad"  # pad: the whole picture on black; shortest: the middle square
    mean: float = 0.5  # of grey levels on 0..1
    std: float = 0.25
    crop: float = 0.0  # the square's side shrinks by up to this fraction
    shift: float = 0.0  # and its centre moves by up to this fraction of the side


@dataclass(frozen=True, slots=True)
class Texts:
    """What a picture is paired with: the first policy with words, else the shard's caption."""

    policies: tuple[str, ...] = ("impression", "findings")


@dataclass(frozen=True, slots=True)
class Optim:
    """The optimiser, its learning rate over the steps, and the limit on a step's gradient."""

    name: str = "adamw"
    lr: float = 5e-5
    momentum: float = 0.9  # sgd
    betas: tuple[float, float] = (0.9, 0.98)  # adamw
    weight_decay: float = 0.0  # adamw; matrices only, never norms, biases or the scale
    warmup: int = 0  # steps over which the rate climbs to `lr`
    schedule: str = "cosine"  # cosine: down to 0 at the last step
    clip_norm: float = 0.0  # 0: no limit


@dataclass(frozen=True, slots=True)
class Run:
    """How long, in what pieces, at which precision."""

    batch_size: int = 64  # pictures per process and forward pass
    accumulate: int = 1  # forward passes to one optimiser step
    epochs: int = 1  # passes over the data ...
    steps: int = 0  # ... unless a number of optimiser steps is set: the same time on any collection
    validate_every: int = 0  # optimiser steps; 0: once an epoch
    same_source: bool = False  # batches of one collection each, so that no style gives a pair away
    shuffle: int = 1000  # samples waiting, undecoded, in a worker's shuffle buffer
    precision: str = "no"  # no | bf16 | fp16


@dataclass(frozen=True, slots=True)
class Recipe:
    """One method: towers, pictures, texts, loss, optimiser and budget."""

    name: str
    model: Model = field(default_factory=Model)
    image: Pictures = field(default_factory=Pictures)
    text: Texts = field(default_factory=Texts)
    loss: str = "clip"
    optim: Optim = field(default_factory=Optim)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        _one_of("image.fit", self.image.fit, FITS)
        _one_of("optim.name", self.optim.name, OPTIMISERS)
        _one_of("optim.schedule", self.optim.schedule, SCHEDULES)
        _one_of("run.precision", self.run.precision, PRECISIONS)
        _within("run.batch_size", self.run.batch_size, 2)  # one pair has nothing to be told from
        _within("run.accumulate", self.run.accumulate, 1)
        _within("run.epochs", self.run.epochs, 1)
        _within("image.crop", self.image.crop, 0, 0.9)
        _within("image.shift", self.image.shift, 0, 0.5)
        _within("model.init_scale", self.model.init_scale, 1e-3, 1)


def load(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe with its bases below it and `overrides` above it.

    A bare name is looked up in `train/recipes`; anything with a slash or `.yaml` is a path. The
    recipe's name is its file's. Unknown keys fail with the key and the known ones.
    """
    path = find(name_or_path)
    values = merge(_chain(path, ()), overrides or {})
    return build(Recipe, {"name": path.stem, **values}, f"recipe {path.stem}")


def find(name_or_path: str | Path) -> Path:
    """Return the recipe's file."""
    text = str(name_or_path)
    is_path = "/" in text or text.endswith((".yaml", ".yml"))
    path = Path(text) if is_path else RECIPES / f"{text}.yaml"
    if path.is_file():
        return path
    raise ConfigError(
        f"no recipe {text!r}; there are: {', '.join(names())}, or give a path to a .yaml"
    )


def names() -> tuple[str, ...]:
    """Return the recipes that come with the project."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def _chain(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if path in below:
        raise ConfigError(f"recipe {path.stem}: is its own base")
    values = read_yaml(path)
    base = values.pop("base", None)
    if base is None:
        return values
    # A base beside the file comes first, so that a copied recipe finds the copy of its base.
    beside = path.parent / f"{base}.yaml"
    found = beside if beside.is_file() else find(base)
    return merge(_chain(found, (*below, path)), values)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")


def _within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        limits = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise ConfigError(f"{name}: {value} is not {limits}")
