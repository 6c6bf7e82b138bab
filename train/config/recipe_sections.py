"""The sections of a recipe that say how is learnt: towers, loss, optimiser, budget.

What is learnt from (pictures, texts, data) stands in `train.recipe`. A value out of its range
fails where the section is made, with its name.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT, Pair
from cxr_vlp.train.errors import ConfigError

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=1e-3, le=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Fusing:
    """The cross-attention between images and texts (model/fusion); the defaults are CARZero's."""

    layers: Count = 0  # 0: none, images and texts are compared by their cosine; CARZero: 4
    heads: Positive = 4
    width: Positive = 768
    hidden: Annotated[int, Field(ge=4)] = 1024
    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width: {self.width} is no multiple of heads: {self.heads}")


@dataclass(frozen=True, slots=True, config=STRICT)
class Model:
    """Which towers: a model that open_clip knows (ours: train/model/configs), and its weights."""

    name: Annotated[str, Field(min_length=1)] = "ViT-B-32"
    pretrained: str = ""  # both towers: an open_clip tag, a local checkpoint, or "" for random
    image: str = ""  # the image tower alone: a local checkpoint of it, or timm (its own weights)
    text: str = ""  # a Hugging Face text model instead of the configured one: a name or a folder
    text_weights: bool = True  # a Hugging Face text model comes with its own; false: random
    init_scale: Temperature = 0.07  # the softmax temperature the training starts from
    bias: bool = False  # a learnt number added to all logits, from -10: off_diagonal's bce needs it
    fusion: Fusing = field(default_factory=Fusing)


@dataclass(frozen=True, slots=True, config=STRICT)
class Weights:
    """How much each term of the loss counts (objective/losses); 0: it is not computed."""

    clip: Amount = 1.0  # the pairs of a batch; with `cap` below 1: relaxed
    multi_view: Amount = 0.0  # two pictures and two texts a pair
    momentum: Amount = 0.0  # two pictures a pair: the second one's key is the first one's positive
    off_diagonal: Amount = 0.0  # normal pairs are each other's positives
    abnormal: Amount = 0.0  # the abnormal pairs of a batch alone
    carzero: Amount = 0.0  # the pairs, on the fusion's logits

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        # Momentum alone never shows the text tower anything.
        if not any(values[n] for n in values if n != "momentum"):
            raise ConfigError("one weight besides momentum has to be above 0")


@dataclass(frozen=True, slots=True, config=STRICT)
class Loss:
    """The terms of the loss and what they need; what belongs to an unused term is not read."""

    weights: Weights = field(default_factory=Weights)
    # clip: the cosine up to which a pair is pulled together; 1: no limit
    cap: Annotated[float, Field(ge=1e-3, le=1)] = 1.0
    icl: Amount = 1.0  # multi_view: between a study's two pictures
    tcl: Amount = 0.5  # multi_view: between its two texts
    # momentum: keys kept; at least a batch of all processes
    queue: Annotated[int, Field(ge=2)] = 65536
    rate: Share = 0.999  # momentum: what the key tower keeps of itself at a step
    temperature: Annotated[float, Field(ge=1e-3, le=100)] = 0.07  # momentum
    form: Literal["bce", "softce"] = "bce"  # off_diagonal


@dataclass(frozen=True, slots=True, config=STRICT)
class Optim:
    """The optimiser, its learning rate over the steps, and the limit on a step's gradient."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Amount = 5e-5
    momentum: Share = 0.9  # sgd
    betas: Pair[Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)  # adam, adamw
    weight_decay: Amount = 0.0  # sgd, adam: added to the gradient; adamw: apart from it
    # what decays; matrices: no norm, bias or scale
    decay: Literal["matrices", "all"] = "matrices"
    warmup: Count = 0  # steps over which the rate climbs to `lr` ...
    warmup_epochs: Amount = 0.0  # ... and so many epochs besides
    # down to 0 at the last step; constant: it stays
    schedule: Literal["constant", "cosine", "cosine_squared"] = "cosine"
    clip_norm: Amount = 0.0  # 0: no limit


@dataclass(frozen=True, slots=True, config=STRICT)
class Run:
    """How long, in what pieces, at which precision."""

    # pairs per process that are told from each other; one pair has nothing to be told from
    batch_size: Annotated[int, Field(ge=2)] = 64
    chunk: Count = 0  # pairs per forward pass, where a device cannot hold the batch; 0: all at once
    accumulate: Positive = 1  # batches to one optimiser step
    epochs: Positive = 1  # passes over the data ...
    # ... unless a number of optimiser steps is set: the same time on any collection
    steps: Count = 0
    validate_every: Count = 0  # optimiser steps; 0: once an epoch
    # what is measured and kept: the weights' moving average; 0: the last ones
    average: Annotated[float, Field(ge=0, le=0.999999)] = 0.0
    same_source: bool = False  # batches of one collection each, so that no style gives a pair away
    shuffle: Count = 1000  # samples waiting, undecoded, in a worker's shuffle buffer
    precision: Literal["no", "bf16", "fp16"] = "no"

    def __post_init__(self) -> None:
        if self.chunk > self.batch_size:
            raise ConfigError(f"chunk: {self.chunk} is above batch_size: {self.batch_size}")


def check(model: Model, loss: Loss, run: Run, pictures: int, texts: int) -> None:
    """Raise ConfigError where a term of the loss lacks what it is computed from.

    pictures, texts: how many of each a pair has while training.
    """
    weights, fused = loss.weights, model.fusion.layers > 0
    on_fused = weights.carzero or weights.off_diagonal or weights.abnormal
    wrong = {
        "loss.weights.momentum wants image.pictures: 2": weights.momentum and pictures < 2,
        "loss.weights.multi_view wants image.pictures: 2": weights.multi_view and pictures < 2,
        "loss.weights.multi_view wants text.texts: 2": weights.multi_view and texts < 2,
        "loss.weights.carzero wants model.fusion.layers": weights.carzero and not fused,
        "model.fusion.layers: no term of the loss would train them": fused and not on_fused,
        "model.bias is for off_diagonal's bce, on cosines": model.bias
        and not (weights.off_diagonal and loss.form == "bce" and not fused),
        "run.chunk: a fusion needs its batch at once; use run.accumulate": fused and run.chunk,
    }
    for message, so in wrong.items():
        if so:
            raise ConfigError(message)
