"""`cxr-vlp evaluate --model DIR --shards DIR --out DIR`: measures a model on a held-out split.

    cxr-vlp evaluate --model models/try --shards data/shards --out reports/evaluate/try \\
        --protocol chexzero --tasks zeroshot,retrieval

The section `evaluate` of params.yaml names the protocol, the tasks and the intervals.
evaluation/output.py lists the files of OUT; metrics.json holds all that decides its numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import cxr_vlp
from cxr_vlp.pipelines.format import versions
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.config.params import EvaluateParams, Params, TaskName
from cxr_vlp.train.config.sections import known
from cxr_vlp.train.data import parameter_check
from cxr_vlp.train.data.set_choice import ChosenSets, choose
from cxr_vlp.train.data.shards import Shard, digests, list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import benchmark_sets, by_collection, output
from cxr_vlp.train.evaluation.models import choose as models
from cxr_vlp.train.evaluation.models import ensemble
from cxr_vlp.train.evaluation.models.choose import Chosen
from cxr_vlp.train.evaluation.protocols import protocol as protocols
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.tasks.base import TASKS, Evaluation, Intervals, TaskResult
from cxr_vlp.train.evaluation.zeroshot import printed
from cxr_vlp.train.fit import use_threads

ZEROSHOT = "zeroshot"
OF_DECIDED = ("prompts", "protocol_of")  # of the task zeroshot, what belongs to `decided_by`


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: evaluate(arguments))


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the arguments say, and write everything below `--out`."""
    use_threads(arguments.threads)
    given = params.load(arguments.params)
    protocol = _protocol(arguments, given)
    tasks = _tasks(arguments, given)
    cli.shards_here(arguments)
    used, shards = _shards(arguments, given)
    chosen = models.chosen(arguments, shards["train"])
    _check_chosen(chosen, tasks)
    section = given.evaluate
    evaluation = Evaluation(
        models=chosen.models,
        shards=shards,
        split=arguments.split,
        protocol=protocol,
        intervals=Intervals(section.resamples, section.resample_by, section.seed),
        limit=arguments.limit,
        workers=arguments.workers,
        out=arguments.out,
        benchmark=benchmark_sets.load(arguments.set) if arguments.set else None,
        score_files=chosen.score_files,
        readers=tuple(arguments.readers),
    )
    by_collection.require_set(evaluation)
    for line in (*used.unused, *_changed(arguments, given), *_trained_on(evaluation)):
        cli.note(line)
    results = {name: _run(name, evaluation) for name in tasks}
    decided = _decided_by(evaluation, chosen, given, results)
    output.write(arguments.out, _metrics(results, decided), list(results.values()))
    printed.show(results, protocol, arguments.out)


def _run(name: str, evaluation: Evaluation) -> TaskResult:
    run: Callable[[Evaluation], TaskResult] = importlib.import_module(TASKS[name]).run
    found = run(evaluation)
    for line in found.notes:
        cli.note(line)
    return found


def _protocol(arguments: argparse.Namespace, given: Params) -> Protocol:
    """Return the protocol with the changes of the params file."""
    name = arguments.protocol or given.evaluate.protocol
    addresses.check(name, "--protocol")
    return protocols.load(name, given.changes)


def _changed(arguments: argparse.Namespace, given: Params) -> Iterator[str]:
    """Say which values of a published protocol the params file replaces."""
    name = arguments.protocol or given.evaluate.protocol
    if name == EvaluateParams().protocol:
        return  # ours is meant to be changed
    whole, own = _protocol(arguments, given), protocols.load(name)
    keys = [
        key
        for key in given.changes
        if getattr(whole, key) != getattr(own, key) or any(key in each for each in own.of.values())
    ]
    if keys:
        yield f"{given.path} replaces of the protocol {name}: {', '.join(keys)}"


def _tasks(arguments: argparse.Namespace, given: Params) -> tuple[str, ...]:
    if not arguments.tasks:
        return given.evaluate.tasks
    asked = tuple(dict.fromkeys(each.strip() for each in arguments.tasks.split(",")))
    known(asked, get_args(TaskName), "--tasks", "task")
    return asked


def _shards(
    arguments: argparse.Namespace, given: Params
) -> tuple[ChosenSets, dict[str, tuple[Shard, ...]]]:
    """Return the sets and the shards of every split. Raises ConfigError where the split is empty.

    Without --shards there are none: score files then hold the truth themselves.
    """
    if not arguments.shards:
        if not arguments.scores:
            raise ConfigError("--shards: name the sets of shards that are measured")
        return ChosenSets(()), dict.fromkeys(SPLITS, ())
    parameter_check.check(arguments.shards, given)
    used = choose(arguments.shards, given.collections)
    privacy.narrow(used.folders)
    shards = {split: list_shards(used.folders, split) for split in SPLITS}
    if not shards[arguments.split]:
        raise ConfigError(f"no shards in the {arguments.split} split of the given folders")
    return used, shards


def _check_chosen(chosen: Chosen, tasks: Sequence[str]) -> None:
    """Raise ConfigError for a task that needs a model's features where there are only scores."""
    others = [name for name in tasks if name != ZEROSHOT]
    if others and not chosen.models:
        raise ConfigError(
            f"--tasks {others[0]} compares features of images: it needs a --model or an "
            "--open-clip, and scores alone have none"
        )


def _trained_on(evaluation: Evaluation) -> list[str]:
    """Return a line for each model that was trained on a split that is measured."""
    found = digests(evaluation.shards[evaluation.split])
    mine = {value: source for source, value in found.items()}
    return [
        f"{model.name} was trained on the {evaluation.split} split of {mine[trained]}: its "
        "numbers there are too good"
        for model in evaluation.models
        for trained in sorted((model.facts.get("trained_on") or {}).values())
        if trained in mine
    ]


def _decided_by(
    evaluation: Evaluation, chosen: Chosen, given: Params, results: Mapping[str, TaskResult]
) -> dict[str, Any]:
    """Return everything that decides the numbers."""
    zeroshot = results.get(ZEROSHOT)
    return {
        "protocol_name": evaluation.protocol.name,
        "protocol_digest": evaluation.protocol.digest,
        "protocol": dataclasses.asdict(evaluation.protocol),
        "changed_by_params": dict(given.changes),
        **({key: zeroshot.metrics[key] for key in OF_DECIDED} if zeroshot else {}),
        "tasks": list(results),
        "models": ensemble.record(chosen.members),
        "shards": _digests(evaluation),
        "split": evaluation.split,
        "limit": evaluation.limit,
        "benchmark_set": evaluation.benchmark.facts() if evaluation.benchmark else None,
        "intervals": dataclasses.asdict(evaluation.intervals),
        "version": cxr_vlp.__version__,
        "formats": {"evaluation": output.FORMAT, "shards": versions.FORMAT},
    }


def _digests(evaluation: Evaluation) -> dict[str, dict[str, str]]:
    """Return collection -> split -> digest of its shards."""
    found: dict[str, dict[str, str]] = {}
    for split, shards in evaluation.shards.items():
        for source, value in digests(shards).items():
            found.setdefault(source, {})[split] = value
    return dict(sorted(found.items()))


def _metrics(results: Mapping[str, TaskResult], decided: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics.json: what is measured zero-shot, the other tasks, what decided it."""
    zeroshot = results[ZEROSHOT].metrics if ZEROSHOT in results else {}
    found = {key: value for key, value in zeroshot.items() if key not in OF_DECIDED}
    others = {name: dict(each.metrics) for name, each in results.items() if name != ZEROSHOT}
    return {**found, "tasks": others, "decided_by": dict(decided)}


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "evaluate",
        "Measure a model on held-out shards: zero-shot classification, and other tasks.",
        f"tasks: {', '.join(TASKS)}\nprotocols: {', '.join(protocols.names())}\n"
        "Never evaluate on data that the model, or its pretrained weights, were trained on.",
    )
    models.add_flags(parser)
    cli.add_shards(
        parser, required=False, more="; only a --scores FILE with columns of truth needs none"
    )
    cli.path_flag(parser, "--out", "the folder of the results")
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="what is measured (default: test)"
    )
    parser.add_argument(
        "--tasks", metavar="NAME,...", default="",
        help="tasks, with commas between them (default: evaluate.tasks of the params file, or "
        "zeroshot)",
    )  # fmt: skip
    parser.add_argument(
        "--protocol", metavar="NAME|FILE", default="",
        help="a protocol's name, or a path to a .yaml file (default: evaluate.protocol of the "
        "params file, or ours)",
    )  # fmt: skip
    parser.add_argument(
        "--readers", type=addresses.path, action="append", default=[], metavar="FILE",
        help="a table of radiologists' readings (a column a label, or reader, label and value); "
        "may be repeated, such as one file a reader",
    )  # fmt: skip
    parser.add_argument(
        "--set", type=addresses.path, metavar="FILE",
        help="measure only the images of this list (cxr-vlp benchmark-set)",
    )  # fmt: skip
    cli.params_flag(parser, "evaluate")
    parser.add_argument(
        "--limit", type=cli.non_negative, default=0, metavar="N",
        help="read about N images of each source, for a trial (default: 0, all images)",
    )  # fmt: skip
    cli.compute_flags(parser)
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
