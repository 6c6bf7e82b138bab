"""Defines what a protocol may hold, and reads protocols from YAML files.

A protocol fixes what decides a number: labels, prompts, score, views, the policies on uncertain and
unmentioned labels, the unit, what is averaged, thresholds. One published way of measuring is one
file in this folder. Its file may name another one as its `base`; it then holds only what differs.
Without a `name` it has that of its file. Where a paper measures each collection in another way,
`of` holds what differs in a collection. The section `evaluate` of params.yaml may change single
values; metrics.json holds the result and its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT, Several
from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.nlp.uncertainty import POLICIES
from cxr_vlp.train.config import sections
from cxr_vlp.train.config.recipe import View
from cxr_vlp.train.config.sections import build, known, merge, read_yaml
from cxr_vlp.train.errors import ConfigError

PROTOCOLS = Path(__file__).parent
POLARITIES = ("positive", "negative")
COUNTED = tuple(name for name in POLICIES if name != "keep")  # what an uncertain label counts as
Policy = Literal["exclude", "positive", "negative"]
Bank = Literal["pair", "there_is", "direct", "frames", "products"]
Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class PromptConfig:
    """The texts of a label: a bank of ours, or templates with {} for the label's name."""

    bank: Bank = "frames"  # cxr_vlp.nlp.wording.prompts.zero_shot
    file: str = ""  # a YAML file of own frames and names, as texts.bank
    positive: Several[str] = ()  # templates instead of the bank
    negative: Several[str] = ()
    # label -> its words in a template, and whole texts of a label instead of all templates
    names: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # label -> {positive: ...}
    case: Literal["lower", "as_spelled"] = "lower"  # of a label's name in a template
    plain: bool = False  # lower case and words only, as CARZero's tokenizer gets them
    # of several texts of one polarity: the mean of their features (one direction; of a fusion, the
    # mean of the logits), or the mean or the maximum of their similarities
    several: Literal["direction", "mean", "max"] = "direction"

    def __post_init__(self) -> None:
        for template in (*self.positive, *self.negative):
            if "{}" not in template:
                raise ValueError(f"the template {template!r} lacks {{}}, the place of the name")
        if self.negative and not self.positive:
            raise ValueError("negative: templates that deny need `positive` ones beside them")
        for label, texts in self.texts.items():
            if not texts.get("positive") or not set(texts) <= set(POLARITIES):
                raise ValueError(f"texts.{label}: give a text as `positive`, perhaps a `negative`")


@dataclass(frozen=True, slots=True, config=STRICT)
class ThresholdConfig:
    """How a probability becomes yes or no. Thresholds are chosen on the validation split."""

    by: Literal["mcc", "f1", "youden", "half", "none"] = "mcc"  # half: 0.5 for every label
    specificity: Fraction = 0.9  # at which the sensitivity is measured


@dataclass(frozen=True, slots=True, config=STRICT)
class RetrievalConfig:
    """How images and texts are searched for each other, and the classes of a 5x200 set."""

    sample: Annotated[int, Field(ge=0)] = 0  # images of a gallery, drawn at random; 0: all
    seed: int = 0  # of the drawn images and prompts
    # the score of a class from its prompts: their mean cosine (CXR-CLIP), the highest one
    # (MedCLIP), or the highest one standardised over the images (GLoRIA)
    classes: Literal["mean", "max", "zscore"] = "mean"
    bank: Bank = "products"  # the prompts of a class
    prompts: Annotated[int, Field(ge=0)] = 0  # of a class, drawn at random; 0: all


@dataclass(frozen=True, slots=True, config=STRICT)
class Measuring:
    """What a protocol fixes beside its prompts; the section `evaluate` holds these keys too."""

    labels: Several[str] = ()  # display names; empty: every label that a source names
    average: Several[str] = ()  # the labels of the macro mean; empty: all findings of `labels`
    no_finding: Literal["apart", "averaged"] = "apart"  # averaged: as a label of the macro mean
    # pair: softmax over the similarities of the positive and negative texts; positive: the
    # similarity of the positive texts alone; sigmoid: its sigmoid
    score: Literal["pair", "positive", "sigmoid"] = "pair"
    temperature: Literal["one", "model"] = "one"  # cosines as they are, or times the model's scale
    views: Several[View] = ()  # e.g. [frontal]; empty: every image
    unit: Literal["image", "study"] = "image"
    of_study: Literal["mean", "max"] = "mean"  # a study's score from its images
    uncertain: Policy = "exclude"  # label value -1
    uncertain_of: Mapping[str, str] = field(default_factory=dict)  # of single labels
    unmentioned: Literal["negative", "exclude"] = "negative"  # the label is not in the sample
    unlabelled: Literal["keep", "drop"] = "keep"  # images whose labels are all negative
    # a label with fewer positives or fewer negatives is listed, but not measured
    min_positives: Annotated[int, Field(ge=1)] = 1
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    bins: Annotated[int, Field(ge=2, le=1000)] = 15  # of the expected calibration error
    text: Literal["report", "findings", "impression", "longest", "caption"] = "report"  # retrieval
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    probe_shares: Several[Fraction | Literal[1]] = (0.01, 0.1, 1)
    probe_seeds: Annotated[int, Field(ge=1, le=100)] = 3

    def __post_init__(self) -> None:
        odd = {name: value for name, value in self.uncertain_of.items() if value not in COUNTED}
        for name, value in odd.items():
            raise ValueError(f"uncertain_of.{name}: {value!r} is not one of {', '.join(COUNTED)}")
        strange = [name for name in self.average if self.labels and name not in self.labels]
        if strange:
            raise ValueError(f"average: {strange[0]} is not among `labels`")
        if NO_FINDING in self.average and self.no_finding == "apart":
            raise ValueError(f"average: {NO_FINDING} needs `no_finding: averaged`")
        if self.score == "positive" and self.thresholds.by == "half":
            raise ValueError("thresholds.by: half needs probabilities (score: pair or sigmoid)")


@dataclass(frozen=True, slots=True, config=STRICT)
class Protocol(Measuring):
    """One way of measuring. The defaults are those of `ours`."""

    name: str = "ours"
    about: str = ""  # one sentence, with its source
    prompts: PromptConfig = field(default_factory=PromptConfig)
    # collection or preset -> what differs there, such as {labels: [Pneumonia]}
    of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The sha256 of everything in it but its name and its description."""
        content = {k: v for k, v in asdict(self).items() if k not in ("name", "about")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def in_collection(self, *names: str) -> Protocol:
        """Return the protocol as it is in a collection, named by its set or its preset.

        The first name that `of` knows decides.
        """
        own = next((self.of[name] for name in names if name in self.of), None)
        if own is None:
            return self
        content = merge({k: v for k, v in asdict(self).items() if k != "of"}, own)
        return build(Protocol, content, f"protocol {self.name}: of.{names[0]}:")


def names() -> tuple[str, ...]:
    """Return the names of the protocols in this folder."""
    return tuple(sorted(path.stem for path in PROTOCOLS.glob("*.yaml")))


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Protocol:
    """Return a protocol by its name or the path of its .yaml file, with changes laid over it.

    A change also replaces what `of` says of the same key. Raises ConfigError for an unknown name,
    key or value, and for a bank of prompts beside templates, which would not be used.
    """
    changed = dict(overrides or {})
    content = merge(_content(name), changed)
    content["of"] = {
        collection: merge(own, {key: changed[key] for key in own if key in changed})
        for collection, own in (content.get("of") or {}).items()
    }
    return built(content, name, changed)


def built(
    content: Mapping[str, Any], name: str, changed: Mapping[str, Any] | None = None
) -> Protocol:
    """Return the protocol of a mapping, as metrics.json holds one. Raises ConfigError."""
    made = build(Protocol, content, f"protocol {name}:")
    for collection, own in made.of.items():
        sections.check(Protocol, own, f"protocol {name}: of.{collection}")
        if {"of", "name", "about"} & set(own):
            raise ConfigError(f"protocol {name}: of.{collection} can hold no name, about or of")
        made.in_collection(collection)
    asked = (changed or {}).get("prompts") or {}
    if made.prompts.positive and {"bank", "file"} & set(asked) and "positive" not in asked:
        raise ConfigError(
            f"protocol {name} has templates of its own, so evaluate.bank and evaluate.prompts "
            "would not be used: leave them out, or give evaluate.protocol a file of yours with "
            f"`base: {name}` and `prompts: {{positive: [], negative: [], bank: ...}}`"
        )
    return made


def check_name(name: str, where: str) -> None:
    """Refuse what is neither a protocol's name nor a path. Raises ConfigError."""
    if not _is_path(name):
        known([name], names(), where, "protocol")


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _content(name: str, seen: Sequence[str] = ()) -> dict[str, Any]:
    if name in seen:
        raise ConfigError(f"protocol {name}: its bases name each other")
    path = Path(name) if _is_path(name) else PROTOCOLS / f"{name}.yaml"
    check_name(name, "evaluate.protocol")
    content = read_yaml(path)
    base = content.pop("base", "")
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: expected a protocol's name")
    # a way of measuring of one's own must not bear the name of a published one
    own = {"name": path.stem, "about": "", **content}
    if not base:
        return own
    beside = str(path.parent / base) if _is_path(base) else base
    return merge(_content(beside, (*seen, name)), own)
