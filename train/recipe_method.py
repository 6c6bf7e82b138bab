"""The sections of a recipe that say how is learnt: towers, loss, optimiser, budget.

What is learnt from (pictures, texts, data) stands in `train.recipe`. A value out of its range
fails where the section is made, with its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from train.errors import ConfigError

OPTIMISERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "cosine_squared")
DECAYS = ("matrices", "all")
FORMS = ("bce", "softce")
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Fusing:
    """The cross-attention between images and texts (train.fusion); the defaults are CARZero's."""

    layers: int = 0  # 0: none, images and texts are compared by their cosine; CARZero: 4
    heads: int = 4
    width: int = 768
    hidden: int = 1024
    dropout: float = 0.1

    def __post_init__(self) -> None:
        within("layers", self.layers, 0)
        within("heads", self.heads, 1)
        within("dropout", self.dropout, 0, 0.9)
        if self.width < 1 or self.width % self.heads:
            raise ConfigError(f"width: {self.width} is no multiple of heads: {self.heads}")
        within("hidden", self.hidden, 4)


@dataclass(frozen=True, slots=True)
class Model:
    """Which towers: a model that open_clip knows (ours are in train/models), and its weights."""

    name: str = "ViT-B-32"
    pretrained: str = ""  # both towers: an open_clip tag, a local checkpoint, or "" for random
    image: str = ""  # the image tower alone: a local checkpoint of it, or timm (its own weights)
    text: str = ""  # a Hugging Face text model instead of the configured one: a name or a folder
    text_weights: bool = True  # a Hugging Face text model comes with its own; false: random
    init_scale: float = 0.07  # the softmax temperature the training starts from
    bias: bool = False  # a learnt number added to all logits, from -10: off_diagonal's bce needs it
    fusion: Fusing = field(default_factory=Fusing)

    def __post_init__(self) -> None:
        within("init_scale", self.init_scale, 1e-3, 1)


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term of the loss counts (train.losses); 0: it is not computed."""

    clip: float = 1.0  # the pairs of a batch; with `cap` below 1: relaxed
    multi_view: float = 0.0  # two pictures and two texts a pair
    momentum: float = 0.0  # two pictures a pair: the second one's key is the first one's positive
    off_diagonal: float = 0.0  # normal pairs are each other's positives
    abnormal: float = 0.0  # the abnormal pairs of a batch alone
    carzero: float = 0.0  # the pairs, on the fusion's logits

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        # Momentum alone never shows the text tower anything.
        if min(values.values()) < 0 or not any(values[n] for n in values if n != "momentum"):
            raise ConfigError(
                "weights: none may be below 0, and one besides momentum has to be above it"
            )


@dataclass(frozen=True, slots=True)
class Loss:
    """The terms of the loss and what they need; what belongs to an unused term is not read."""

    weights: Weights = field(default_factory=Weights)
    cap: float = 1.0  # clip: the cosine up to which a pair is pulled together; 1: no limit
    icl: float = 1.0  # multi_view: between a study's two pictures
    tcl: float = 0.5  # multi_view: between its two texts
    queue: int = 65536  # momentum: keys kept; at least a batch of all processes
    rate: float = 0.999  # momentum: what the key tower keeps of itself at a step
    temperature: float = 0.07  # momentum
    form: str = "bce"  # off_diagonal: bce | softce

    def __post_init__(self) -> None:
        one_of("form", self.form, FORMS)
        within("cap", self.cap, 1e-3, 1)
        within("icl", self.icl, 0)
        within("tcl", self.tcl, 0)
        within("queue", self.queue, 2)
        within("rate", self.rate, 0, 1)
        within("temperature", self.temperature, 1e-3, 100)


@dataclass(frozen=True, slots=True)
class Optim:
    """The optimiser, its learning rate over the steps, and the limit on a step's gradient."""

    name: str = "adamw"
    lr: float = 5e-5
    momentum: float = 0.9  # sgd
    betas: tuple[float, float] = (0.9, 0.98)  # adam, adamw
    weight_decay: float = 0.0  # sgd, adam: added to the gradient; adamw: apart from it
    decay: str = "matrices"  # what decays: matrices only (no norm, bias, scale) | all
    warmup: int = 0  # steps over which the rate climbs to `lr` ...
    warmup_epochs: float = 0.0  # ... and so many epochs besides
    schedule: str = "cosine"  # down to 0 at the last step; constant: it stays
    clip_norm: float = 0.0  # 0: no limit

    def __post_init__(self) -> None:
        one_of("name", self.name, OPTIMISERS)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("decay", self.decay, DECAYS)
        for name in ("lr", "weight_decay", "warmup", "warmup_epochs", "clip_norm"):
            within(name, getattr(self, name), 0)


@dataclass(frozen=True, slots=True)
class Run:
    """How long, in what pieces, at which precision."""

    batch_size: int = 64  # pairs per process that are told from each other
    chunk: int = 0  # pairs per forward pass, where a device cannot hold the batch; 0: all at once
    accumulate: int = 1  # batches to one optimiser step
    epochs: int = 1  # passes over the data ...
    steps: int = 0  # ... unless a number of optimiser steps is set: the same time on any collection
    validate_every: int = 0  # optimiser steps; 0: once an epoch
    average: float = 0.0  # what is measured and kept: the weights' moving average; 0: the last ones
    same_source: bool = False  # batches of one collection each, so that no style gives a pair away
    shuffle: int = 1000  # samples waiting, undecoded, in a worker's shuffle buffer
    precision: str = "no"  # no | bf16 | fp16

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        within("batch_size", self.batch_size, 2)  # one pair has nothing to be told from
        within("chunk", self.chunk, 0, self.batch_size)
        within("accumulate", self.accumulate, 1)
        within("epochs", self.epochs, 1)
        within("average", self.average, 0, 0.999999)
        for name in ("steps", "validate_every", "shuffle"):
            within(name, getattr(self, name), 0)


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


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError where a value is none of the known ones."""
    if value not in known:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")


def within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise ConfigError where a number is out of its range, both ends included."""
    if not low <= value <= high:
        limits = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise ConfigError(f"{name}: {value} is not {limits}")
