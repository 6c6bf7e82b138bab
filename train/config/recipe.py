"""A recipe's name or path and overrides come in, one frozen `Recipe` goes out.

A recipe is a YAML file that may name others as its `base`; it then holds only what differs. One
published method is one file in `train/recipes`; `METHOD_tiny` is `base: [METHOD, tiny]`, so that a
method and its small version for CPUs cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config import settings
from cxr_vlp.nlp.config.settings import STRICT, Pair, Several
from cxr_vlp.train.config.build import build, merge, read_yaml
from cxr_vlp.train.config.build import check as check_part
from cxr_vlp.train.config.recipe_sections import Loss, Model, Optim, Run, Share, check
from cxr_vlp.train.data.policies import parse
from cxr_vlp.train.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"

View = Literal["frontal", "lateral", "other", "unknown"]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]} is above {pair[1]}: the smaller one comes first")
    return pair


Range = Annotated[Pair[Annotated[float, Field(ge=0.01, le=4)]], AfterValidator(_ordered)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Augment:
    """What a training picture goes through once it is cut out, in this order; torchvision's own."""

    flip: Share = 0.0  # probability of a mirror image; the text's left and right stay as they are
    turn: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, either way
    move: Share = 0.0  # up to this fraction of the side, either way
    zoom: Range = (1.0, 1.0)  # from .. to
    clahe: Share = 0.0  # probability of a local equalisation, contrast limited at 4
    brightness: Share = 0.0  # a factor within 1 - this .. 1 + this
    contrast: Share = 0.0


@dataclass(frozen=True, slots=True, config=STRICT)
class Pictures:
    """How a stored picture becomes the model's square, and how it varies while training."""

    # e.g. [frontal]: what is trained on; empty: every film. An epoch's length is counted before
    # they are left out, as only a film's record tells its view
    views: Several[View] = ()
    # of a pair while training; 2: two films of a study (data.unit: study) where
    # there are two, else the same film drawn twice
    pictures: Annotated[int, Field(ge=1, le=2)] = 1
    # pad: the whole picture on black; shortest: the middle square
    fit: Literal["pad", "shortest"] = "pad"
    mean: Share = 0.5  # of grey levels on 0..1
    std: Annotated[float, Field(gt=0, le=1)] = 0.25
    # the fraction of the square's side that is shown: its middle in evaluation,
    # anywhere in training (a random crop after padding)
    part: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    # instead, in training, any rectangle with from .. to this fraction of the picture's area
    # (torchvision's RandomResizedCrop); (1, 1): none
    area: Range = (1.0, 1.0)
    # the square's side shrinks by up to this fraction
    crop: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    # and its centre moves by up to this fraction of the side
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    augment: Augment = field(default_factory=Augment)


@dataclass(frozen=True, slots=True, config=STRICT)
class Texts:
    """What a picture is paired with: the first policy with words, else the shard's caption."""

    policies: Several[str] = ("impression", "findings")
    # of a pair while training; 2: two independent draws
    texts: Annotated[int, Field(ge=1, le=2)] = 1
    translated: Share = 0.0  # probability of a section's back-translation, where the shard has one
    # what a sentence counts as that is not sure
    uncertain: Literal["abnormal", "normal"] = "abnormal"


@dataclass(frozen=True, slots=True, config=STRICT)
class Data:
    """What a pair is, and how often the sources and their shards are passed through."""

    # image: every film is a pair; study: all films of a study are one
    unit: Literal["image", "study"] = "image"
    apart: bool = False  # no two films of one study in a batch
    resampled: bool = False  # shards are drawn with replacement: epochs of equal length anywhere
    # how often a source's samples are shown in an epoch: {mimic: 1, nih: 0.5, openi: 4}; 1 where
    # none is given, 0 leaves it out
    weights: Mapping[str, Annotated[float, Field(ge=0, le=1000)]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=STRICT)
class Recipe:
    """One method: towers, pictures, texts, loss, optimiser and budget."""

    name: Annotated[str, Field(min_length=1)]
    model: Model = field(default_factory=Model)
    image: Pictures = field(default_factory=Pictures)
    text: Texts = field(default_factory=Texts)
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        for name in self.text.policies:
            parse(name)  # a misspelt policy fails with the known ones
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
    where = f"recipe {path.stem}"
    if overrides:
        check_overrides(overrides, f"{where}: overrides")
        values = merge(values, overrides)
    return build(Recipe, {"name": path.stem, **values}, f"{where}:")


def check_overrides(overrides: Mapping[str, Any] | None, where: str) -> None:
    """Hold what is to stand above a recipe against its classes; `where` opens every message.

    What the values mean together is told by `load`. Raises ConfigError.
    """
    check_part(Recipe, overrides, where)
    text = (overrides or {}).get("text") or {}
    for name in text.get("policies", ()):
        try:
            parse(name)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def find(name_or_path: str | Path) -> Path:
    """Return the recipe's file."""
    text = str(name_or_path)
    is_path = "/" in text or text.endswith((".yaml", ".yml"))
    path = Path(text) if is_path else RECIPES / f"{text}.yaml"
    if path.is_file():
        return path
    meant = "" if is_path else settings.nearest(text, names())
    raise ConfigError(
        f"no recipe {text!r}{meant}; there are: {', '.join(names())}, or give a path to a .yaml"
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
    named = [bases] if isinstance(bases, str) else bases
    if not isinstance(named, list) or not all(isinstance(base, str) for base in named):
        raise ConfigError(f"{path}: base: expected a recipe's name, or a list of names")
    below = [each for base in named for each in _chain(_beside(path, base), (*above, path))]
    return [*below, (path, values)]


def _beside(path: Path, base: str) -> Path:
    """Return a base's file; one beside the recipe comes first: a copy finds its base's copy."""
    found = path.parent / f"{base}.yaml"
    return found if found.is_file() else find(base)
