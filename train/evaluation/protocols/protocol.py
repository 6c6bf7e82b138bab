"""Defines what a protocol may hold, and reads protocols from YAML files.

A protocol fixes what decides a number: labels, prompts, score, views, the policies on uncertain and
unmentioned labels, the unit, what is averaged, thresholds. One published way of measuring is one
file in this folder. Its file may name another one as its `base`; it then holds only what differs.
The section `evaluate` of params.yaml may change single values; metrics.json holds the result and
its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT, Several
from cxr_vlp.train.config.recipe import View
from cxr_vlp.train.config.sections import build, known, merge, read_yaml

PROTOCOLS = Path(__file__).parent
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
    # of several texts of one polarity: the mean of their features (one direction), or the mean or
    # the maximum of their similarities
    several: Literal["direction", "mean", "max"] = "direction"


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
class Protocol:
    """One way of measuring. The defaults are those of `ours`."""

    name: str = "ours"
    about: str = ""  # one sentence, with its source
    labels: Several[str] = ()  # display names; empty: every label that a source names
    average: Several[str] = ()  # the labels of the macro mean; empty: all findings of `labels`
    no_finding: Literal["apart", "averaged"] = "apart"  # averaged: as a label of the macro mean
    prompts: PromptConfig = field(default_factory=PromptConfig)
    # pair: softmax over the similarities of the positive and negative texts; positive: the
    # similarity of the positive texts alone; sigmoid: its sigmoid
    score: Literal["pair", "positive", "sigmoid"] = "pair"
    temperature: Literal["one", "model"] = "one"  # cosines as they are, or times the model's scale
    views: Several[View] = ()  # empty: every image
    unit: Literal["image", "study"] = "image"
    of_study: Literal["mean", "max"] = "mean"  # a study's score from its images
    uncertain: Policy = "exclude"  # label value -1
    uncertain_of: Mapping[str, Policy] = field(default_factory=dict)  # of single labels
    unmentioned: Literal["negative", "exclude"] = "negative"
    unlabelled: Literal["keep", "drop"] = "keep"  # images whose labels are all negative
    min_positives: Annotated[int, Field(ge=1)] = 1  # fewer positives or negatives: not measured
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    bins: Annotated[int, Field(ge=2, le=1000)] = 15  # of the expected calibration error
    text: Literal["report", "findings", "impression", "longest", "caption"] = "report"  # retrieval
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    probe_shares: Several[Fraction | Literal[1]] = (0.01, 0.1, 1)
    probe_seeds: Annotated[int, Field(ge=1, le=100)] = 3

    @property
    def digest(self) -> str:
        """The sha256 of everything in it but its name and its description."""
        content = {k: v for k, v in asdict(self).items() if k not in ("name", "about")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def names() -> tuple[str, ...]:
    """Return the names of the protocols in this folder."""
    return tuple(sorted(path.stem for path in PROTOCOLS.glob("*.yaml")))


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Protocol:
    """Return a protocol by its name or the path of its .yaml file, with changes laid over it.

    Raises ConfigError for an unknown name, key or value.
    """
    content = merge(_content(name), overrides or {})
    return build(Protocol, content, f"protocol {name}:")


def _content(name: str) -> dict[str, Any]:
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        known([name], names(), "not a path, and", "protocol")
        path = PROTOCOLS / f"{name}.yaml"
    content = read_yaml(path)
    base = content.pop("base", "")
    return merge(_content(base), content) if base else content
