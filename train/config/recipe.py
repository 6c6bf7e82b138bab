"""Defines what a recipe may hold, and reads recipes from YAML files.

A recipe is one training method: model, images, texts, data, loss, optimiser and budget. Its file
may name other recipes as its `base`; it then holds only what differs. One published method is one
file in `train/recipes`. `METHOD_tiny` is `base: [METHOD, tiny]`, so that a method and its small
version for CPUs cannot drift apart.

A new setting is one line in one of the classes below; its type says what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config import settings
from cxr_vlp.nlp.config.settings import STRICT, Pair, Several
from cxr_vlp.train.config import sections
from cxr_vlp.train.config.sections import build, merge, read_yaml
from cxr_vlp.train.data.policies import parse
from cxr_vlp.train.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"

View = Literal["frontal", "lateral", "other", "unknown"]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=1e-3, le=1)]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]} is above {pair[1]}: the smaller one comes first")
    return pair


Range = Annotated[Pair[Annotated[float, Field(ge=0.01, le=4)]], AfterValidator(_ordered)]


@dataclass(frozen=True, slots=True, config=STRICT)
class FusionConfig:
    """The cross-attention between images and texts (model/fusion). The defaults are CARZero's."""

    layers: Count = 0  # 0: no fusion, images and texts are compared by their cosine; CARZero: 4
    heads: Positive = 4
    width: Positive = 768
    hidden: Annotated[int, Field(ge=4)] = 1024
    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width: {self.width} is no multiple of heads: {self.heads}")


@dataclass(frozen=True, slots=True, config=STRICT)
class ModelConfig:
    """The dual encoder: an open_clip model (ours: train/model/configs) and its weights."""

    name: Annotated[str, Field(min_length=1)] = "ViT-B-32"
    pretrained: str = ""  # both towers: an open_clip tag, a local checkpoint, or "" for random
    image: str = ""  # the image tower alone: a local checkpoint of it, or timm (timm's weights)
    text: str = ""  # a Hugging Face text model instead of the configured one: a name or a folder
    text_weights: bool = True  # a Hugging Face text model with its own weights; false: random
    init_scale: Temperature = 0.07  # the softmax temperature at the start of the training
    bias: bool = False  # a learnt number added to all logits, from -10: off_diagonal's bce needs it
    fusion: FusionConfig = field(default_factory=FusionConfig)


@dataclass(frozen=True, slots=True, config=STRICT)
class AugmentConfig:
    """How a training image is varied after the crop, in this order, by torchvision."""

    flip: Fraction = 0.0  # probability of a mirror image; left and right in the text do not change
    turn: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, in either direction
    move: Fraction = 0.0  # up to this fraction of the side, in either direction
    zoom: Range = (1.0, 1.0)  # smallest and largest factor
    clahe: Fraction = 0.0  # probability of CLAHE, contrast limit up to 4
    brightness: Fraction = 0.0  # a factor from 1 - this to 1 + this
    contrast: Fraction = 0.0  # a factor from 1 - this to 1 + this


@dataclass(frozen=True, slots=True, config=STRICT)
class ImageConfig:
    """How a stored image becomes the model's square input, and how it varies in training."""

    # e.g. [frontal]: the views that are trained on; empty: every image. An epoch's length is
    # counted before the views are left out, because only a sample's JSON names its view.
    views: Several[View] = ()
    # images of a pair in training; 2: two images of a study (data.unit: study) where it has two,
    # else two crops of one image
    count: Annotated[int, Field(ge=1, le=2)] = 1
    # pad: the whole image on a black square; shortest: the square in its middle; squash: the whole
    # image, made square
    fit: Literal["pad", "shortest", "squash"] = "pad"
    mean: Fraction = 0.5  # of grey levels in 0..1
    std: Annotated[float, Field(gt=0, le=1)] = 0.25
    # the fraction of the square's side that is used: the middle in evaluation, a random place in
    # training (a random crop after padding)
    part: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    # instead, in training: a random rectangle with this smallest and largest fraction of the
    # image's area (torchvision's RandomResizedCrop); (1, 1): none
    area: Range = (1.0, 1.0)
    # the square's side shrinks by up to this fraction
    crop: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    # and its centre moves by up to this fraction of the side
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, slots=True, config=STRICT)
class TextConfig:
    """The text of a pair: the first policy that gives words, else the sample's caption."""

    policies: Several[str] = ("impression", "findings")
    # texts of a pair in training; 2: two independent draws
    count: Annotated[int, Field(ge=1, le=2)] = 1
    translated: Fraction = 0.0  # probability of a section's back-translation, where there is one
    # how a filter counts an uncertain sentence
    uncertain: Literal["abnormal", "normal"] = "abnormal"


@dataclass(frozen=True, slots=True, config=STRICT)
class DataConfig:
    """What a pair is, and how often an epoch passes through each source."""

    # image: every image is a pair; study: all images of a study are one pair
    unit: Literal["image", "study"] = "image"
    # no two images of one study in a batch: each would be a false negative of the other's text
    apart: bool = True
    resampled: bool = False  # shards are drawn with replacement: all ranks have equal epochs
    # how often an epoch shows a source's samples: {mimic: 1, nih: 0.5, openi: 4}; 1 for a source
    # that is not named, 0 leaves it out
    weights: Mapping[str, Annotated[float, Field(ge=0, le=1000)]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=STRICT)
class LossWeights:
    """The weight of each term of the loss (objective/terms); 0: the term is not computed."""

    clip: Amount = 1.0  # CLIP's loss on the pairs of a batch; with `cap` below 1: relaxed
    multi_view: Amount = 0.0  # CXR-CLIP's loss: two images and two texts a pair
    momentum: Amount = 0.0  # MoCo's loss: the second image's key is the first image's positive
    off_diagonal: Amount = 0.0  # OFF-CLIP: normal pairs are each other's positives
    abnormal: Amount = 0.0  # OFF-CLIP: CLIP's loss on the abnormal pairs of a batch alone
    carzero: Amount = 0.0  # CARZero's loss on the fusion's logits
    labels: Amount = 0.0  # cross-entropy of a linear head on the images' labels; needs no text

    @property
    def without_text(self) -> bool:
        """Whether no term trains the text tower."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return not any(values[n] for n in values if n not in ("momentum", "labels"))

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        # The momentum term alone does not train the text tower.
        if not any(values[n] for n in values if n != "momentum"):
            raise ConfigError("one weight besides momentum has to be above 0")


@dataclass(frozen=True, slots=True, config=STRICT)
class LossConfig:
    """The terms of the loss and their settings. Settings of a term of weight 0 are not used."""

    weights: LossWeights = field(default_factory=LossWeights)
    # clip: the cosine up to which a pair is pulled together; 1: no limit
    cap: Annotated[float, Field(ge=1e-3, le=1)] = 1.0
    icl: Amount = 1.0  # multi_view: weight of the loss between a study's two images
    tcl: Amount = 0.5  # multi_view: weight of the loss between its two texts
    # momentum: keys in the queue; at least run.batch_size
    queue: Annotated[int, Field(ge=2)] = 65536
    rate: Fraction = 0.999  # momentum: what the key tower keeps of its weights at a step
    temperature: Annotated[float, Field(ge=1e-3, le=100)] = 0.07  # momentum
    form: Literal["bce", "softce"] = "bce"  # off_diagonal
    labels: Several[str] = ()  # labels: their names; empty: all that the train split names
    # labels: a label that a sample does not mention, in a collection that names it at all
    unmentioned: Literal["negative", "exclude"] = "negative"


@dataclass(frozen=True, slots=True, config=STRICT)
class OptimConfig:
    """The optimiser, its learning rate over the steps, and the limit on the gradient's norm."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Amount = 5e-5
    momentum: Fraction = 0.9  # sgd
    betas: Pair[Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)  # adam, adamw
    weight_decay: Amount = 0.0  # sgd, adam: added to the gradient; adamw: decoupled
    # which weights decay; matrices: no norm, bias or scale
    decay: Literal["matrices", "all"] = "matrices"
    warmup: Count = 0  # steps over which the rate climbs to `lr` ...
    warmup_epochs: Amount = 0.0  # ... plus this many epochs
    # the rate falls to 0 at the last step; constant: it stays
    schedule: Literal["constant", "cosine", "cosine_squared"] = "cosine"
    clip_norm: Amount = 0.0  # 0: no limit


@dataclass(frozen=True, slots=True, config=STRICT)
class RunConfig:
    """The budget: batch size, number of steps, validation, precision."""

    # pairs of one batch over all processes, which share it equally; each pair is a negative of all
    # others, so 2 is the least
    batch_size: Annotated[int, Field(ge=2)] = 64
    # pairs of a process per forward pass, where its part of a batch does not fit; 0: all
    chunk: Count = 0
    # batches per optimiser step: its gradient is of accumulate x batch_size pairs, and the
    # negatives of a pair are those of its own batch
    accumulate: Positive = 1
    epochs: Positive = 1  # passes over the data ...
    # ... unless a number of optimiser steps is set: the same time on any collection
    steps: Count = 0
    validate_every: Count = 0  # optimiser steps; 0: once an epoch
    # which weights are kept: those with the lowest validation loss, or with the highest zero-shot
    # AUROC on the validation split (engine/selection)
    select: Literal["loss", "auroc"] = "loss"
    # decay of the moving average of the weights that is validated and saved; 0: the weights
    average: Annotated[float, Field(ge=0, le=0.999999)] = 0.0
    # each process's part of a batch from one collection: its style gives no pair away
    same_source: bool = False
    shuffle: Count = 1000  # samples, still encoded, in a worker's shuffle buffer
    precision: Literal["no", "bf16", "fp16"] = "no"

    def __post_init__(self) -> None:
        if self.chunk > self.batch_size:
            raise ConfigError(f"chunk: {self.chunk} is above batch_size: {self.batch_size}")


@dataclass(frozen=True, slots=True, config=STRICT)
class PublishedConfig:
    """What the publication used, for comparison; a training prints it and does not use it."""

    batch: Count = 0  # pairs of a batch over all its GPUs; 0: not known


@dataclass(frozen=True, slots=True, config=STRICT)
class Recipe:
    """One method: model, images, texts, data, loss, optimiser and budget."""

    name: Annotated[str, Field(min_length=1)]
    model: ModelConfig = field(default_factory=ModelConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    text: TextConfig = field(default_factory=TextConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    published: PublishedConfig = field(default_factory=PublishedConfig)

    def __post_init__(self) -> None:
        for name in self.text.policies:
            parse(name)  # a misspelt policy fails with the known ones
        self._check_loss()

    def _check_loss(self) -> None:
        """Raise ConfigError where a term of the loss lacks what it is computed from."""
        weights, fused = self.loss.weights, self.model.fusion.layers > 0
        on_fused = weights.carzero or weights.off_diagonal or weights.abnormal
        images, texts, bias = self.image.count, self.text.count, self.model.bias
        biased = weights.off_diagonal and self.loss.form == "bce" and not fused
        wrong = {
            "loss.weights.momentum needs image.count: 2": weights.momentum and images < 2,
            "loss.weights.multi_view needs image.count: 2": weights.multi_view and images < 2,
            "loss.weights.multi_view needs text.count: 2": weights.multi_view and texts < 2,
            "loss.weights.carzero needs model.fusion.layers": weights.carzero and not fused,
            "model.fusion.layers: no term of the loss trains them": fused and not on_fused,
            "model.bias is only for off_diagonal's bce on cosines": bias and not biased,
            "run.chunk: a fusion needs the whole batch; use run.accumulate": (
                fused and self.run.chunk
            ),
            "run.chunk: loss.weights.labels needs the whole batch; use run.accumulate": (
                weights.labels and self.run.chunk
            ),
            "run.select: auroc compares with texts, and no term of the loss trains the text "
            "tower: run.select: loss": weights.without_text and self.run.select == "auroc",
            f"loss.queue: {self.loss.queue} keys are fewer than run.batch_size: "
            f"{self.run.batch_size}": weights.momentum and self.loss.queue < self.run.batch_size,
        }
        for message, holds in wrong.items():
            if holds:
                raise ConfigError(message)


def load(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe: its bases first, then its own values, then `overrides`.

    A bare name is a file in `train/recipes`; a text with a slash or `.yaml` is a path. The recipe's
    name is the name of its file. Raises ConfigError for an unknown key (with the known ones), a
    value of the wrong kind, and settings that do not fit together.
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
    """Check the keys and values of overrides, before the recipe is known.

    `where` begins every message. Whether the values fit together is checked by `load`. Raises
    ConfigError.
    """
    sections.check(Recipe, overrides, where)
    text = (overrides or {}).get("text") or {}
    for name in text.get("policies", ()):
        try:
            parse(name)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def find(name_or_path: str | Path) -> Path:
    """Return the recipe's file. Raises ConfigError with the nearest name where there is none."""
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
    """Return the names of the recipes in `train/recipes`."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def files(name_or_path: str | Path) -> tuple[Path, ...]:
    """Return the files that a recipe is made of, its bases first."""
    return tuple(dict.fromkeys(path for path, _ in _chain(find(name_or_path), ())))


def _chain(path: Path, above: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """Return a recipe's files and their values, in the order in which they are merged.

    Of several bases the later ones override the earlier ones.
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
    """Return a base's file. A file beside the recipe comes first, so a copy finds a copied base."""
    found = path.parent / f"{base}.yaml"
    return found if found.is_file() else find(base)
