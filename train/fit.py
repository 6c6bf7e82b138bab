"""`python -m train.fit RECIPE --shards DIR --out DIR`: shards come in, a trained model goes out.

OUT/model.safetensors   the weights with the lowest validation loss
OUT/recipe.json         the recipe as it was used, with its seed: what evaluation reads
OUT/dvclive/            loss, learning rate and validation loss, for `dvc metrics` and `dvc plots`
OUT/checkpoints/        what an interrupted run goes on from

With --dry-run only OUT/batch.html is written: the first batch as the model would see it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from train import checkpoints, console, dry, local, models, params, recipe, texts
from train.curves import Curves
from train.dry import samples
from train.errors import ConfigError
from train.loop import Training
from train.plan import Job
from train.scoring import MODEL, RECIPE
from train.sections import plain
from train.shards import list_shards


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return console.guarded(lambda: fit(arguments))


def fit(arguments: argparse.Namespace) -> None:
    """Train as the arguments say, and write everything under `--out`."""
    use_threads(arguments.threads)
    job, pretrained = _job(arguments)
    texts.policies(job.recipe.text)  # a misspelt policy fails here, not in a worker
    accelerator = Accelerator(
        cpu=ranks_on_cpus(),
        mixed_precision=job.recipe.run.precision,
        gradient_accumulation_steps=job.recipe.run.accumulate,
    )
    towers = models.build(job.recipe.model, job.seed)
    if arguments.dry_run:
        if accelerator.is_main_process:
            dry.run(job, towers, accelerator.num_processes)
        return
    training = Training(job, towers, accelerator)
    before = _prepare(training, arguments.resume, accelerator)
    progress = _run(training, accelerator)
    if accelerator.is_main_process:
        _finish(job, pretrained)
        _summary(job, progress, before)


def ranks_on_cpus() -> bool:
    """Tell whether torchrun started several processes where there is no GPU.

    Accelerate has to be told: left to itself it takes each of them for the only one.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()


def use_threads(threads: int) -> None:
    """Let torch use this many threads; 0: OMP_NUM_THREADS, else the cores this process may run on.

    Torch counts the machine's cores, not the process's: on a shared machine two threads on busy
    cores take ten times as long as one.
    """
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS") or free or 1))


def _job(arguments: argparse.Namespace) -> tuple[Job, str]:
    section = params.read(arguments.params, "train", params.Train)
    chosen = recipe.load(arguments.recipe, section.overrides)
    job = Job(
        recipe=chosen,
        seed=section.seed if arguments.seed is None else arguments.seed,
        train=list_shards(arguments.shards, "train"),
        validate=list_shards(arguments.shards, "validate"),
        out=arguments.out,
        workers=arguments.workers,
        limit=arguments.limit,
    )
    return job, chosen.model.pretrained


def _prepare(training: Training, resume: bool | None, accelerator: Accelerator) -> int:
    """Return the steps already behind the training; start clean where it may not go on."""
    done = 0
    if resume is not False:
        try:
            done = training.resume()
        except ConfigError:
            if resume:
                raise
    # Every rank has looked before the first one clears away.
    accelerator.wait_for_everyone()
    if not done and accelerator.is_main_process:
        shutil.rmtree(training.folder, ignore_errors=True)
    return done


def _run(training: Training, accelerator: Accelerator) -> checkpoints.Progress:
    main = accelerator.is_main_process
    out = training.job.out
    curves = Curves(out / "dvclive", training.progress.rows) if main else None
    with console.progress() as bar:
        task = bar.add_task("training", total=training.plan.steps, completed=training.progress.step)
        progress = training.run(
            curves,
            lambda step, loss: bar.update(
                task, completed=step, description=f"training, loss {loss:.3f}"
            ),
        )
    accelerator.wait_for_everyone()
    return progress


def _finish(job: Job, pretrained: str) -> None:
    shutil.copyfile(job.out / "checkpoints" / checkpoints.BEST, job.out / MODEL)
    echo = {"recipe": plain(job.recipe), "seed": job.seed, "pretrained": pretrained}
    text = json.dumps(echo, indent=2, sort_keys=True) + "\n"
    (job.out / RECIPE).write_text(text, encoding="utf-8")


def _summary(job: Job, progress: checkpoints.Progress, before: int) -> None:
    losses = [value for _, name, value in progress.rows if name == "loss"]
    rows = [
        ("recipe", job.recipe.name),
        ("steps", f"{progress.step} ({before} of them before)" if before else str(progress.step)),
        ("samples", f"{samples(job.train)} train, {samples(job.validate)} validate"),
        ("loss", f"{losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "-"),
        ("best validation loss", f"{progress.best:.3f} at step {progress.best_step}"),
        ("model", str(job.out / MODEL)),
    ]
    console.table("trained", ("what", "value"), rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.fit",
        description="Train an image and a text tower on shards, as a recipe says.",
        epilog=f"recipes: {', '.join(recipe.names())}. Several GPUs: torchrun --nproc-per-node N "
        "-m train.fit ... A killed run goes on from its last checkpoint when started again.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a path to a .yaml")
    parser.add_argument(
        "--shards", type=local.path, nargs="+", required=True, metavar="DIR",
        help="folders that hold train/, validate/, test/; one a source",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=local.path, required=True, metavar="DIR", help="for the model"
    )
    parser.add_argument(
        "--params", type=local.path, metavar="FILE", default=default_params(),
        help="YAML with a section train: seed, overrides (default: params.yaml where there is one)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="instead of the params file's")
    parser.add_argument(
        "--limit", type=natural, default=0, metavar="N", help="stop after N steps, for a trial"
    )
    parser.add_argument(
        "--workers", type=natural, default=0, metavar="W", help="processes that read shards (0)"
    )
    parser.add_argument(
        "--threads", type=natural, default=0, metavar="T",
        help="torch threads (OMP_NUM_THREADS, else the free cores)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=None,
        help="go on from the last checkpoint (where there is one of this very run)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the plan and the first batch (OUT/batch.html); train nothing",
    )
    return parser


def default_params() -> Path | None:
    """Return params.yaml of the current folder, None where there is none."""
    path = Path("params.yaml")
    return path if path.is_file() else None


def natural(text: str) -> int:
    """Return a command-line number that is not below 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
