"""`cxr-vlp fit RECIPE --shards DIR --out DIR`: trains a model on shards.

OUT/model.safetensors   the weights that validated best, by loss or by AUROC (run.select of the
                        recipe); without a split validate those of the last step
OUT/recipe.json         the recipe as it was used, with its seed; evaluation reads it
OUT/metrics/            loss, learning rate, val. loss and AUROC, for `dvc metrics`, `dvc plots`

OUT appears as a whole at the end of the training. Until then the checkpoints and metrics are in
STATE/checkpoints/RUN, where RUN is the digest of everything that decides the training's numbers.
When the command is started again, it resumes from there, also if OUT was deleted.

With --dry-run only OUT/batch.html is written: the first batch, as the model would get it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from cxr_vlp.train import addresses, cli, output_dir, privacy
from cxr_vlp.train.config import params, recipe
from cxr_vlp.train.data import parameter_check, texts, views
from cxr_vlp.train.data.set_choice import choose
from cxr_vlp.train.data.shards import digests, list_shards
from cxr_vlp.train.engine import checkpoints
from cxr_vlp.train.engine.loop import Training
from cxr_vlp.train.engine.metrics_writer import MetricsWriter
from cxr_vlp.train.engine.plan import TrainingJob, largest_batch, plan
from cxr_vlp.train.engine.selection import REMEDY
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.scoring import MODEL, RECIPE
from cxr_vlp.train.model import build, label_head
from cxr_vlp.train.pages import batch_page
from cxr_vlp.train.pages.batch_page import samples

METRICS = "metrics"
STOPPED = "start the command again to resume from the last checkpoint"
LeftOut = Mapping[str, Mapping[str, int]]  # source -> view -> images


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: fit(arguments), STOPPED)


def fit(arguments: argparse.Namespace) -> None:
    """Train as the arguments say, and write everything below `--out`."""
    use_threads(arguments.threads)
    given = params.load(arguments.params)
    cli.shards_here(arguments)
    job, pretrained, notes = _job(arguments, given)
    texts.policies(job.recipe.text)  # a misspelt policy fails here, and not in a worker
    accelerator = Accelerator(
        cpu=several_on_cpu(),
        mixed_precision=job.recipe.run.precision,
        gradient_accumulation_steps=job.recipe.run.accumulate,
    )
    main = accelerator.is_main_process
    if main:
        for line in notes:
            cli.note(line)
        _announce(arguments, given, job, accelerator.num_processes)
    left = _left_out(job)
    with build.quiet():  # the plan says which weights it starts from
        encoder = build.build(job.recipe.model, job.seed)
    label_head.of_shards(encoder.model, job.recipe.loss, job.train, job.seed)
    if arguments.dry_run:
        if main:
            batch_page.run(job, encoder, accelerator.num_processes)
        return
    training = Training(job, encoder, accelerator)
    if main:
        _validation_notes(training)
    with contextlib.ExitStack() as stack:
        staging = stack.enter_context(_exclusive(training)) if main else job.out
        before = _prepare(training, arguments.resume, accelerator)
        progress = _run(training, accelerator)
        if main:
            _publish(training, pretrained, staging, left)
            _summary(training, progress, before, left)


def _announce(
    arguments: argparse.Namespace, given: params.Params, job: TrainingJob, world: int
) -> None:
    """Print what the training will do: changes to the recipe, batch, processes, steps, epochs."""
    steps, run = plan(job, world), job.recipe.run
    changes = [f"{key}: {value}" for key, value in _flat(given.train.overrides)]
    limit = f", --limit {job.limit} ends it early" if job.limit else ""
    seed = f"train.seed of {given.path}" if given.path else "the default"
    published = job.recipe.published.batch
    pairs, an_epoch = steps.batch_size * world, steps.batches * steps.batch_size * world
    less = "" if pairs == run.batch_size else f": fewer than run.batch_size, {run.batch_size}"
    rows = [
        ("recipe", arguments.recipe),
        ("overrides", "\n".join(changes) or "none"),
        ("first weights", _first_weights(job.recipe.model)),
        ("seed", f"{job.seed}, {seed if arguments.seed is None else '--seed'}"),
        ("global batch", f"{pairs} pairs{less}; published: {published or 'not known'}"),
        ("processes", f"{world}, {steps.batch_size} pairs of a batch each"),
        ("steps", f"{steps.steps}, each of {run.accumulate} batches{limit}"),
        ("epochs", f"{steps.steps * run.accumulate * pairs / an_epoch:.2f} of {an_epoch} pairs"),
        ("the kept weights", _kept(job)),
    ]
    cli.table("plan of the training", ("what", "value"), rows)


def _first_weights(model: recipe.ModelConfig) -> str:
    """Return where the weights come from that the training starts with."""
    if model.pretrained:
        return f"{model.pretrained}, both towers"
    text = model.text if model.text and model.text_weights else "random"
    return f"image tower {model.image or 'random'}, text tower {text}"


def _flat(changes: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names and the values of nested changes."""
    for key, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _kept(job: TrainingJob) -> str:
    if not job.validate:
        return "those of the last step: there is no split validate"
    name = {"loss": "lowest validation loss", "auroc": "highest validation AUROC"}
    return f"those with the {name[job.recipe.run.select]} (run.select)"


@contextlib.contextmanager
def _exclusive(training: Training) -> Iterator[Path]:
    """Yield the staging folder; no other run writes this output or runs the same training."""
    job = training.job
    lock = training.folder.with_name(f"{training.folder.name}.lock")
    with (
        output_dir.staged(job.out, job.state) as staging,
        output_dir.locked(lock, f"{training.folder}: another run does the same training"),
    ):
        yield staging
        lock.unlink()


def _left_out(job: TrainingJob) -> LeftOut:
    """Return the training images that the recipe's views leave out: source -> view -> images.

    Raises ConfigError where all images of a source are left out.
    """
    wanted = job.recipe.image.views
    if not wanted:
        return {}
    weights = job.recipe.data.weights
    found = views.survey((s for s in job.train if weights.get(s.source, 1.0)), wanted).views
    views.require(found, wanted, "image.views of the recipe")
    return views.left_out(found, wanted)


def several_on_cpu() -> bool:
    """Return whether torchrun started several processes on a machine without a GPU.

    Accelerate needs this as an argument: without it, each process would take itself for the only
    one.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()


def use_threads(threads: int) -> None:
    """Set torch's number of threads; 0: OMP_NUM_THREADS, else the cores this process may use.

    Torch counts the machine's cores, not the process's: on a shared machine two threads on busy
    cores take ten times as long as one.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS") or usable or 1))


def _job(
    arguments: argparse.Namespace, given: params.Params
) -> tuple[TrainingJob, str, tuple[str, ...]]:
    """Return the job, its pretrained weights, and notes about sets that are not used."""
    parameter_check.check(arguments.shards, given)
    wanted = recipe.load(arguments.recipe, given.train.overrides)
    used = choose(arguments.shards, given.collections)
    privacy.narrow(used.folders)
    train = list_shards(used.folders, "train")
    job = TrainingJob(
        recipe=wanted,
        seed=given.train.seed if arguments.seed is None else arguments.seed,
        train=train,
        validate=list_shards(used.folders, "validate"),
        out=arguments.out,
        workers=arguments.workers,
        limit=arguments.limit,
        state=arguments.state,
        largest=largest_batch(train, wanted),
    )
    if wanted.run.select == "auroc" and not job.validate:
        raise ConfigError(f"run.select: auroc needs a split validate, and there is none: {REMEDY}")
    return job, wanted.model.pretrained, used.unused


def _prepare(training: Training, resume: bool | None, accelerator: Accelerator) -> int:
    """Resume, or remove what cannot be resumed; return the number of steps already done."""
    main, folder = accelerator.is_main_process, training.folder
    done = 0 if resume is False else training.resume()
    if resume and not done:
        raise ConfigError(
            f"{folder.parent}: no checkpoint of this training (same recipe, seed, shards, number "
            "of processes and of workers): leave out --resume to start it"
        )
    # All ranks have looked for a checkpoint before the first one removes files.
    accelerator.wait_for_everyone()
    if main:
        if not done:
            if resume is None and any(folder.glob("*.json")):
                cli.note(f"{folder}: the checkpoint is damaged and is not used: starting over")
            checkpoints.drop(folder)
        number, size = checkpoints.others(folder)
        if number:
            cli.note(
                f"{folder.parent} holds checkpoints of {number} other unfinished trainings "
                f"({size / 1e6:,.0f} MB): they are not used here, and you may delete them"
            )
    return done


def _run(training: Training, accelerator: Accelerator) -> checkpoints.Progress:
    main = accelerator.is_main_process
    metrics = MetricsWriter(training.folder / METRICS, training.progress.rows) if main else None
    with cli.progress() as bar:
        task = bar.add_task("training", total=training.plan.steps, completed=training.progress.step)
        progress = training.run(
            metrics,
            lambda step, loss: bar.update(
                task, completed=step, description=f"training, loss {loss:.3f}"
            ),
        )
    accelerator.wait_for_everyone()
    return progress


def _publish(training: Training, pretrained: str, staging: Path, left: LeftOut) -> None:
    """Publish the model, then remove its checkpoints."""
    job = training.job
    best = checkpoints.best(training.folder, training.progress.best_step)
    shutil.copyfile(best, staging / MODEL)
    shutil.copytree(training.folder / METRICS, staging / METRICS)
    used = {"recipe": dataclasses.asdict(job.recipe), "seed": job.seed, "pretrained": pretrained}
    used |= label_head.record(training.encoder.model)
    # so that `evaluate` can say that a model was trained on what it measures
    used |= {"trained_on": digests(job.train)}
    checked: dict[str, Any] = {}
    if training.validator is not None:
        checked = {"validation": training.validator.plan.counts.as_json()}
    text = json.dumps({**used, "left_out": left, **checked}, indent=2, sort_keys=True) + "\n"
    (staging / RECIPE).write_text(text, encoding="utf-8")
    output_dir.publish(staging, job.out)
    checkpoints.drop(training.folder)


def _validation_notes(training: Training) -> None:
    """Say which collections the validation leaves out."""
    if training.validator is None:
        return
    counts, selection = training.validator.plan.counts, training.validator.selection
    for source, number in counts.unused.items():
        cli.note(f"validation leaves out {source}, {number} images: its weight is 0 (data.weights)")
    for source in selection.left_out if selection else ():
        cli.note(f"run.select: auroc counts no finding of {source}: too few labelled images")


def _summary(
    training: Training, progress: checkpoints.Progress, before: int, left: LeftOut
) -> None:
    job = training.job
    losses = [value for _, name, value in progress.rows if name == "loss"]
    rows = [
        ("recipe", job.recipe.name),
        ("steps", f"{progress.step} ({before} in earlier runs)" if before else str(progress.step)),
        ("samples", f"{samples(job.train)} train, {samples(job.validate)} validate"),
        *((f"left out of {name}", views.listed(counts)) for name, counts in left.items()),
        ("loss", f"{losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "-"),
        *_validated(training),
        *_best(job, progress),
        ("model", str(job.out / MODEL)),
    ]
    cli.table("training", ("what", "value"), rows)


def _validated(training: Training) -> list[tuple[str, str]]:
    """Return what the validation used and left out, as rows of the summary."""
    if training.validator is None:
        return []
    counts = training.validator.plan.counts
    views = Counter[str]()
    for found in counts.views.values():
        views.update(found)
    others, alone = sum(counts.siblings.values()), sum(counts.alone.values())
    left = [f"{number} {name}" for name, number in sorted(views.items())]
    left += [f"{others} other images of the studies"] if others else []
    left += [f"{alone} without another image to compare"] if alone else []
    rows = [("validated on", f"{sum(counts.studies.values())} images, one of a study")]
    return [*rows, ("left out of the loss", ", ".join(left) or "none")]


def _best(job: TrainingJob, progress: checkpoints.Progress) -> list[tuple[str, str]]:
    if not job.validate:
        why = "none: no sample in the split validate; the model is that of the last step"
        return [("best validation loss", why)]
    name = {"loss": "best validation loss", "auroc": "best validation AUROC"}
    return [(name[job.recipe.run.select], f"{progress.best:.3f} at step {progress.best_step}")]


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "fit",
        "Train an image tower and a text tower on shards, as a recipe says.",
        f"recipes: {', '.join(recipe.names())}\n"
        "Several GPUs: torchrun --nproc-per-node N -m cxr_vlp.train.fit ...\n"
        "A stopped run resumes from its last checkpoint when it is started again.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a path to a .yaml")
    cli.shards_flag(parser)
    cli.path_flag(parser, "--out", "the folder of the model")
    cli.params_flag(parser, "train")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed (default: train.seed of the params file, or 0)"
    )
    parser.add_argument(
        "--limit", type=cli.non_negative, default=0, metavar="N",
        help="stop after N optimiser steps, for a trial (default: 0, the recipe's own number)",
    )  # fmt: skip
    cli.compute_flags(parser)
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=None,
        help="--resume: resume from the last checkpoint, fail without one; --no-resume: start over "
        "(default: resume if there is a checkpoint of this training)",
    )  # fmt: skip
    parser.add_argument(
        "--state", type=addresses.path, metavar="DIR", default=Path(".cxr"),
        help="folder of the checkpoints of unfinished trainings, the same for all processes "
        "(default: .cxr)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan and write the first batch to OUT/batch.html; do not train",
    )
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
