"""`cxr-vlp fit RECIPE --shards DIR --out DIR`: shards come in, a trained model goes out.

OUT/model.safetensors   the weights with the lowest validation loss
OUT/recipe.json         the recipe as it was used, with its seed: what evaluation reads
OUT/dvclive/            loss, learning rate and validation loss, for `dvc metrics` and `dvc plots`

OUT appears as a whole when the training is done. Until then its checkpoints and curves are in
STATE/checkpoints/RUN, where RUN is the digest of all that decides the training's numbers: started
again, it goes on from there, whatever became of OUT.

With --dry-run only OUT/batch.html is written: the first batch as the model would see it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params, recipe
from cxr_vlp.train.config.build import plain
from cxr_vlp.train.data import parameter_check, texts, views
from cxr_vlp.train.data.set_choice import choose, collections
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.engine import checkpoints, model_dir
from cxr_vlp.train.engine.loop import Training
from cxr_vlp.train.engine.metrics_writer import Curves
from cxr_vlp.train.engine.plan import Job
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.scoring import MODEL, RECIPE
from cxr_vlp.train.model import build
from cxr_vlp.train.pages import batch_page
from cxr_vlp.train.pages.batch_page import samples

CURVES = "dvclive"
STOPPED = "started again, the training goes on from its last checkpoint"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: fit(arguments), STOPPED)


def fit(arguments: argparse.Namespace) -> None:
    """Train as the arguments say, and write everything under `--out`."""
    use_threads(arguments.threads)
    job, pretrained, beside = _job(arguments)
    texts.policies(job.recipe.text)  # a misspelt policy fails here, not in a worker
    accelerator = Accelerator(
        cpu=ranks_on_cpus(),
        mixed_precision=job.recipe.run.precision,
        gradient_accumulation_steps=job.recipe.run.accumulate,
    )
    main = accelerator.is_main_process
    if main:
        for line in beside:
            cli.note(line)
    left = _left_out(job)
    towers = build.build(job.recipe.model, job.seed)
    if arguments.dry_run:
        if main:
            batch_page.run(job, towers, accelerator.num_processes)
        return
    training = Training(job, towers, accelerator)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(_alone(training)) if main else job.out
        before = _prepare(training, arguments.resume, accelerator)
        progress = _run(training, accelerator)
        if main:
            _finish(training, pretrained, place, left)
            _summary(job, progress, before, left)


@contextlib.contextmanager
def _alone(training: Training) -> Iterator[Path]:
    """Yield the folder that becomes the output; no other run has it, or trains the same."""
    job = training.job
    lock = training.folder.with_name(f"{training.folder.name}.lock")
    with (
        model_dir.placing(job.out, job.state) as place,
        model_dir.held(lock, f"{training.folder}: another run is on this very training"),
    ):
        yield place
        lock.unlink()


def _left_out(job: Job) -> dict[str, dict[str, int]]:
    """Return the training images that the recipe's views leave out: source -> view -> images.

    Raises ConfigError where that is a whole source.
    """
    wanted = job.recipe.image.views
    if not wanted:
        return {}
    weights = job.recipe.data.weights
    found = views.survey((s for s in job.train if weights.get(s.source, 1.0)), wanted).views
    views.require(found, wanted, "image.views of the recipe")
    return views.left_out(found, wanted)


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


def _job(arguments: argparse.Namespace) -> tuple[Job, str, tuple[str, ...]]:
    """Return the job, its pretrained weights, and lines that name the sets that are not used."""
    section = params.read(arguments.params, "train", params.Train)
    parameter_check.check(arguments.shards, arguments.params)
    wanted = recipe.load(arguments.recipe, section.overrides)
    used = choose(arguments.shards, collections(arguments.params))
    privacy.narrow(used.folders)
    job = Job(
        recipe=wanted,
        seed=section.seed if arguments.seed is None else arguments.seed,
        train=list_shards(used.folders, "train"),
        validate=list_shards(used.folders, "validate"),
        out=arguments.out,
        workers=arguments.workers,
        limit=arguments.limit,
        state=arguments.state,
    )
    return job, wanted.model.pretrained, used.beside


def _prepare(training: Training, resume: bool | None, accelerator: Accelerator) -> int:
    """Return the steps already behind the training; start clean where it may not go on."""
    main, place = accelerator.is_main_process, training.folder
    done = 0 if resume is False else training.resume()
    if resume and not done:
        raise ConfigError(
            f"{place.parent}: no checkpoint of this very training (recipe, seed, shards, number of "
            "processes and workers): leave out --resume to start it"
        )
    # Every rank has looked before the first one clears away.
    accelerator.wait_for_everyone()
    if main:
        if not done:
            if resume is None and any(place.glob("*.json")):
                cli.note(f"{place}: the checkpoint is damaged and not believed: starting over")
            checkpoints.drop(place)
        number, size = checkpoints.others(place)
        if number:
            cli.note(
                f"{place.parent} keeps checkpoints of {number} other unfinished trainings "
                f"({size / 1e6:,.0f} MB): they are not used here, and may be deleted"
            )
    return done


def _run(training: Training, accelerator: Accelerator) -> checkpoints.Progress:
    main = accelerator.is_main_process
    curves = Curves(training.folder / CURVES, training.progress.rows) if main else None
    with cli.progress() as bar:
        task = bar.add_task("training", total=training.plan.steps, completed=training.progress.step)
        progress = training.run(
            curves,
            lambda step, loss: bar.update(
                task, completed=step, description=f"training, loss {loss:.3f}"
            ),
        )
    accelerator.wait_for_everyone()
    return progress


def _finish(
    training: Training, pretrained: str, place: Path, left: dict[str, dict[str, int]]
) -> None:
    """Publish the model; then its checkpoints are not needed any more."""
    job = training.job
    best = checkpoints.best(training.folder, training.progress.best_step)
    shutil.copyfile(best, place / MODEL)
    shutil.copytree(training.folder / CURVES, place / CURVES)
    echo = {"recipe": plain(job.recipe), "seed": job.seed, "pretrained": pretrained}
    text = json.dumps({**echo, "left_out": left}, indent=2, sort_keys=True) + "\n"
    (place / RECIPE).write_text(text, encoding="utf-8")
    model_dir.publish(place, job.out)
    checkpoints.drop(training.folder)


def _summary(
    job: Job, progress: checkpoints.Progress, before: int, left: dict[str, dict[str, int]]
) -> None:
    losses = [value for _, name, value in progress.rows if name == "loss"]
    rows = [
        ("recipe", job.recipe.name),
        ("steps", f"{progress.step} ({before} of them before)" if before else str(progress.step)),
        ("samples", f"{samples(job.train)} train, {samples(job.validate)} validate"),
        *((f"left out of {name}", views.told(counts)) for name, counts in left.items()),
        ("loss", f"{losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "-"),
        ("best validation loss", f"{progress.best:.3f} at step {progress.best_step}"),
        ("model", str(job.out / MODEL)),
    ]
    cli.table("trained", ("what", "value"), rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp fit",
        description="Train an image and a text tower on shards, as a recipe says.",
        epilog=f"recipes: {', '.join(recipe.names())}. Several GPUs: torchrun --nproc-per-node N "
        "-m cxr_vlp.train.fit ... A killed run goes on from its "
        "last checkpoint when started again.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a path to a .yaml")
    parser.add_argument(
        "--shards", type=addresses.path, nargs="+", required=True, metavar="DIR",
        help="folders that hold train/, validate/, test/; one a source",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=addresses.path, required=True, metavar="DIR", help="for the model"
    )
    parser.add_argument(
        "--params", type=addresses.path, metavar="FILE", default=params.default(),
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
        help="go on from the last checkpoint and fail without one; or start over (default: go on "
        "where there is a checkpoint of this very training)",
    )  # fmt: skip
    parser.add_argument(
        "--state", type=addresses.path, metavar="DIR", default=Path(".cxr"),
        help="where unfinished trainings keep their checkpoints (.cxr); one for all processes",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the plan and the first batch (OUT/batch.html); train nothing",
    )
    return parser


def natural(text: str) -> int:
    """Return a command-line number that is not below 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
