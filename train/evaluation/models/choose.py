"""The flags that name what is evaluated, and the models and score files that they mean.

--model DIR                        a model that cxr-vlp fit wrote
--open-clip NAME --pretrained W    any model of open_clip, and where its weights are
--scores FILE                      scores that another program made
--baseline random|frequency        what a model has to beat

Each may be repeated; several together are an ensemble, the mean of their probabilities. Flags that
follow an --open-clip belong to it; each further --pretrained is one more model of that name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cxr_vlp.train import addresses
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models import baselines, open_clip_model, ours
from cxr_vlp.train.evaluation.models.base import Model, ScoreSource
from cxr_vlp.train.evaluation.models.ensemble import Member
from cxr_vlp.train.evaluation.models.open_clip_model import ACTIVATIONS, Request
from cxr_vlp.train.evaluation.models.preprocessing import OWN, PUBLISHED
from cxr_vlp.train.evaluation.models.score_file import ScoreFile


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is evaluated: one member, or the members of an ensemble."""

    models: tuple[Model, ...] = ()
    score_files: tuple[ScoreSource, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, the models first."""
        return (*self.models, *self.score_files)


class _Follows(argparse.Action):
    """Puts the value of a flag into the --open-clip before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        requests: list[Request] = list(namespace.open_clip or [])
        if not requests:
            parser.error(f"{option_string}: belongs after the --open-clip whose model it describes")
        last = requests[-1]
        if self.dest == "pretrained" and last.pretrained:
            requests.append(replace(last, pretrained=values))  # one more of the same name
        else:
            # what is said of a name holds for all its models
            requests = [
                replace(each, **{self.dest: values})
                if each is last or (self.dest != "pretrained" and each.name == last.name)
                else each
                for each in requests
            ]
        namespace.open_clip = requests


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name what is evaluated."""
    group = parser.add_argument_group("what is evaluated (several: an ensemble)")
    group.add_argument(
        "--model", type=addresses.path, action="append", default=[], metavar="DIR",
        help="the folder that cxr-vlp fit wrote",
    )  # fmt: skip
    group.add_argument(
        "--open-clip", type=Request, action="append", metavar="NAME",
        help="an architecture of open_clip, hf-hub:ORG/MODEL, local-dir:PATH, or a .json of it",
    )  # fmt: skip
    group.add_argument(
        "--pretrained", action=_Follows, metavar="TAG|FILE", default=argparse.SUPPRESS,
        help="its weights: a tag of open_clip, a checkpoint's path, or local-dir:PATH",
    )  # fmt: skip
    group.add_argument(
        "--preprocess", action=_Follows, metavar="NAME", default=argparse.SUPPRESS,
        help=f"its preprocessing: {OWN} (the model's, the default), {', '.join(PUBLISHED)}, or a "
        "YAML file",
    )  # fmt: skip
    group.add_argument(
        "--activation", action=_Follows, choices=ACTIVATIONS, default=argparse.SUPPRESS,
        help="the activation its weights were trained with, where no file says it",
    )  # fmt: skip
    group.add_argument(
        "--scores", type=addresses.path, action="append", default=[], metavar="FILE",
        help="a table of scores: csv, tsv, parquet or jsonl with a column key and a column for "
        "each label (score:LABEL), perhaps truth:LABEL",
    )  # fmt: skip
    group.add_argument(
        "--baseline", action="append", default=[], type=_baseline, metavar="NAME",
        help="random (random weights of the --model or --open-clip beside it, which is then not "
        "evaluated; random:N for seed N) or frequency (of each label in the train split)",
    )  # fmt: skip


def chosen(arguments: argparse.Namespace, train: Sequence[Shard] = ()) -> Chosen:
    """Return what the flags name, loaded. `train`: the train split, for `--baseline frequency`.

    Raises ConfigError where nothing is named, or where it cannot be loaded; DataError for a table
    that cannot be read.
    """
    requests: list[Request] = arguments.open_clip or []
    seeds = [seed for name, seed in arguments.baseline if name == "random"]
    if not (arguments.model or requests or arguments.scores or arguments.baseline):
        raise ConfigError(
            "nothing to evaluate: name a --model DIR, an --open-clip NAME with --pretrained, "
            "--scores FILE or --baseline random|frequency"
        )
    if seeds:
        models = _random(arguments.model, requests, seeds)
    else:
        models = [ours.model(folder) for folder in arguments.model]
        models += [open_clip_model.model(request) for request in requests]
    sources: list[ScoreSource] = [ScoreFile(path) for path in arguments.scores]
    if any(name == "frequency" for name, _ in arguments.baseline):
        sources.append(baselines.Frequency(train))
    return Chosen(tuple(models), tuple(sources))


def _random(
    folders: Sequence[Path], requests: Sequence[Request], seeds: Sequence[int]
) -> list[Any]:
    """Return random towers of the architectures that are named, or of the default one."""
    made: list[Any] = []
    for seed in seeds:
        made += [baselines.random_of_recipe(ours.recipe(folder), seed) for folder in folders]
        made += [
            baselines.random_of_open_clip(each.name, each.preprocess, seed) for each in requests
        ]
        if not (folders or requests):
            made.append(baselines.random_of_recipe(seed=seed))
    return made


def _baseline(text: str) -> tuple[str, int]:
    name, _, seed = text.partition(":")
    if name not in baselines.BASELINES or (seed and not (seed.isdigit() and name == "random")):
        known = ", ".join(baselines.BASELINES)
        raise argparse.ArgumentTypeError(f"{text!r}: known baselines are {known}, and random:N")
    return name, int(seed or 0)
