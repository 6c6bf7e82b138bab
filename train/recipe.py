"""A recipe's name or path and overrides come in, one frozen `Recipe` goes out.

A recipe is a YAML file that may name others as its `base`; it then holds only what differs. One
published method is one file in `train/recipes`; `METHOD_tiny` is `base: [METHOD, tiny]`, so that a
method and its small version for CPUs cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.errors import ConfigError
from train.recipe_method import Loss, Model, Optim, Run, check, one_of, within
from train.sections import build, merge, read_yaml

RECIPES = Path(__file__).with_name("recipes")
FITS = ("pad", "shortest")
UNITS = ("image", "study")
UNCERTAIN = ("abnormal", "normal")


@dataclass(frozen=True, slots=True)
class Augment:
    """What a training picture goes through once it is cut out, in this order; torchvision's own."""

    flip: float = 0.0  # probability of a mirror image; the text's left and right stay as they are
    turn: float = 0.0  # degrees, either way
    move: float = 0.0  # up to this fraction of the side, either way
    zoom: tuple[float, float] = (1.0, 1.0)  # from .. to
    clahe: float = 0.0  # probability of a local equalisation, contrast limited at 4
    brightness: float = 0.0  # a factor within 1 - this .. 1 + this
    contrast: float = 0.0


@dataclass(frozen=True, slots=True)
class Pictures:
    """How a stored picture becomes the model's square, and how it varies while training."""

    views: tuple[str, ...] = ()  # e.g. [frontal]: what is trained on; empty: every film. An epoch's
    # length is counted before they are left out, as only a film's record tells its view
    pictures: int = 1  # of a pair while training; 2: two films of a study (data.unit: study) where
    # there are two, else the same film drawn twice
    fit: str = "pad"  # pad: the whole picture on black; shortest: the middle square
    mean: float = 0.5  # of grey levels on 0..1
    std: float = 0.25
    part: float = 1.0  # the fraction of the square's side that is shown: its middle in evaluation,
    # anywhere in training (a random crop after padding)
    area: tuple[float, float] = (1.0, 1.0)  # instead, in training, any rectangle with from .. to
    # this fraction of the picture's area (torchvision's RandomResizedCrop); (1, 1): none
    crop: float = 0.0  # the square's side shrinks by up to this fraction
    shift: float = 0.0  # and its centre moves by up to this fraction of the side
    augment: Augment = field(default_factory=Augment)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a picture is paired with: the first policy with words, else the shard's caption."""

    policies: tuple[str, ...] = ("impression", "findings")
    texts: int = 1  # of a pair while training; 2: two independent draws
    translated: float = 0.0  # probability of a section's back-translation, where the shard has one
    uncertain: str = "abnormal"  # what a sentence counts as that is not sure: abnormal | normal


@dataclass(frozen=True, slots=True)
class Data:
    """What a pair is, and how often the sources and their shards are passed through."""

    unit: str = "image"  # image: every film is a pair | study: all films of a study are one
    apart: bool = False  # no two films of one study in a batch
    resampled: bool = False  # shards are drawn with replacement: epochs of equal length anywhere
    weights: Mapping[str, float] = field(default_factory=dict)  # how often a source's samples are
    # shown in an epoch: {mimic: 1, nih: 0.5, openi: 4}; 1 where none is given, 0 leaves it out


@dataclass(frozen=True, slots=True)
class Recipe:
    """One method: towers, pictures, texts, loss, optimiser and budget."""

    name: str
    model: Model = field(default_factory=Model)
    image: Pictures = field(default_factory=Pictures)
    text: Texts = field(default_factory=Texts)
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        one_of("image.fit", self.image.fit, FITS)
        _check_pictures(self.image)
        one_of("text.uncertain", self.text.uncertain, UNCERTAIN)
        within("text.texts", self.text.texts, 1, 2)
        within("text.translated", self.text.translated, 0, 1)
        one_of("data.unit", self.data.unit, UNITS)
        for source, weight in self.data.weights.items():
            within(f"data.weights.{source}", weight, 0, 1000)
        check(self.model, self.loss, self.run, self.image.pictures, self.text.texts)


def load(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe with its bases below it and `overrides` above it.

    A bare name is looked up in `train/recipes`; anything with a slash or `.yaml` is a path. The
    recipe's name is its file's. Unknown keys fail with the key and the known ones.
    """
    path = find(name_or_path)
    values: dict[str, Any] = {}
    for _, part in _chain(path, ()):
        values = merge(values, part)
    values = merge(values, overrides or {})
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


def files(name_or_path: str | Path) -> tuple[Path, ...]:
    """Return the files that a recipe is made of, its bases first: what it depends on."""
    return tuple(dict.fromkeys(path for path, _ in _chain(find(name_or_path), ())))


def _chain(path: Path, above: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """Return the files and their values, the one that counts least first.

    Of several bases the later ones stand above the earlier ones.
    """
    if path in above:
        raise ConfigError(f"recipe {path.stem}: is its own base")
    values = read_yaml(path)
    bases = values.pop("base", [])
    below = [
        each
        for base in ([bases] if isinstance(bases, str) else bases)
        for each in _chain(_beside(path, base), (*above, path))
    ]
    return [*below, (path, values)]


def _beside(path: Path, base: str) -> Path:
    """Return a base's file; one beside the recipe comes first: a copy finds its base's copy."""
    found = path.parent / f"{base}.yaml"
    return found if found.is_file() else find(base)


def _check_pictures(image: Pictures) -> None:
    within("image.pictures", image.pictures, 1, 2)
    within("image.part", image.part, 0.1, 1)
    within("image.crop", image.crop, 0, 0.9)
    within("image.shift", image.shift, 0, 0.5)
    augment = image.augment
    for name in ("flip", "move", "clahe", "brightness", "contrast"):
        within(f"image.augment.{name}", getattr(augment, name), 0, 1)
    within("image.augment.turn", augment.turn, 0, 180)
    for name, (low, high) in (("area", image.area), ("augment.zoom", augment.zoom)):
        within(f"image.{name}", low, 0.01, high)
        within(f"image.{name}", high, low, 4)
