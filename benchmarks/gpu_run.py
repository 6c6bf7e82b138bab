"""Trains recipes for a few steps on the GPU or CPU here: whether they run, speed, memory.

    python benchmarks/gpu_run.py --shards data/shards --out results.json --workers 8
    python benchmarks/gpu_run.py --shards data/shards --out results.json --recipes chexzero_tiny \
        --steps 20 --precisions no bf16 --resume chexzero_tiny:no  # on any CPU

It runs the code of the training (train/engine and train/data), at the size and batch of the recipe,
from random weights. Nothing is downloaded; the vocabulary of a BERT is made from the texts of the
shards. Few images are enough: an epoch reads the shards as often as the steps need. Each part runs
in a process of its own, because Accelerate has one precision in a process. A part that fails or
takes longer than `--patience` is a row with its error.

    train      --recipes, in each of --precisions. `loader`: pairs a second with the real loader, as
               cxr-vlp fit trains; `one batch`: with the same batch repeated, which is the limit for
               any loader. Their ratio shows whether the device waits for data. `busy` is the share
               of a step on one batch in which the GPU computes: where it is low and the loader is
               fast enough, the step waits for Python to launch its kernels. The first --warm steps
               are left out. Losses are means of five steps: of the real data, and of the one batch.
    loader     --loaders: folders of shards, read by the loader alone at 1, 4, 8, 16 workers, for
               each of --loader-recipes, because the cost of images and texts differs
    resume     --resume RECIPE:PRECISION: a run of --resume-steps steps; a second one that is
               stopped after two thirds of them; a third one, in another process, that continues
               from its checkpoint. Before the stop the first two differ only where the kernels of
               the device are not deterministic; after it the resumed run should not differ by more.
    devices    --devices: recipes in float32 on the CPU and on the GPU, the same steps, their losses
               compared

The exit code is 1 where any part failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A process that has asked the driver for its devices has no forked child that may use them.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

import timing  # noqa: E402
import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from paper_scale import BERT, HUGGING_FACE, RECIPES  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch.autograd import DeviceType  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from cxr_vlp.train.config.recipe import Recipe, load  # noqa: E402
from cxr_vlp.train.data.batches import Batch  # noqa: E402
from cxr_vlp.train.data.loader import Loading, training  # noqa: E402
from cxr_vlp.train.data.samples import stored_samples  # noqa: E402
from cxr_vlp.train.data.shards import Shard, list_shards  # noqa: E402
from cxr_vlp.train.engine.loop import Training  # noqa: E402
from cxr_vlp.train.engine.metrics_writer import MetricsWriter  # noqa: E402
from cxr_vlp.train.engine.plan import TrainingJob  # noqa: E402
from cxr_vlp.train.fit import use_threads  # noqa: E402
from cxr_vlp.train.model import build  # noqa: E402

Found = dict[str, list[dict[str, Any]]]
WORKERS = (1, 4, 8, 16)
MEAN = 5  # steps that a shown loss is the mean of
ONE_BATCH, ONE_BATCH_WARM = 25, 5  # steps on one batch, and those before them that are not timed
PROFILED = 3
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Setting:
    """What all parts share: the shards, a text tower's folder, a folder to write to, the flags."""

    train: tuple[Shard, ...]
    validate: tuple[Shard, ...]
    bert: str
    folder: Path
    flags: argparse.Namespace


class Enough(Exception):  # noqa: N818 - no error: a training that has run for long enough
    """Raised from a step to end a training."""


def main() -> int:
    """Run all parts, print their tables, write everything as JSON after each part."""
    flags = _parser().parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that weights are random
    found: Found = {"train": [], "loader": [], "resume": [], "devices": []}
    end = time.monotonic() + flags.budget if flags.budget else float("inf")
    with tempfile.TemporaryDirectory(dir=flags.scratch) as name:
        train = list_shards(flags.shards, "train")
        bert = _bert(Path(name) / "bert", train)
        setting = Setting(train, list_shards(flags.shards, "validate"), bert, Path(name), flags)
        runner = Runner(setting, end)
        card = runner.run(describe)
        for precision in flags.precisions:
            for recipe in flags.recipes:
                row = runner.run(trained, recipe, precision)
                found["train"].append({"recipe": recipe, "precision": precision, **row})
                _write(flags.out, card, found)
        for recipe, folder in product(flags.loader_recipes, flags.loaders):
            for workers in flags.loader_workers:
                row = runner.run(loaded, recipe, folder, workers)
                which = {"recipe": recipe, "shards": str(folder), "workers": workers}
                found["loader"].append(which | row)
        for wanted in flags.resume:
            recipe, _, precision = wanted.partition(":")
            row = resumed(runner, recipe, precision or "no")
            found["resume"].append({"recipe": recipe, "precision": precision or "no", **row})
            _write(flags.out, card, found)
        for recipe in flags.devices:
            found["devices"].append({"recipe": recipe, **compared(runner, recipe)})
        _write(flags.out, card, found)
    _show(card, found)
    return 1 if any("error" in row for rows in found.values() for row in rows) else 0


class Runner:
    """Runs parts one after the other, each in a process of its own."""

    def __init__(self, setting: Setting, end: float) -> None:
        self.setting, self.end = setting, end
        fork = multiprocessing.get_context("fork")
        probe = fork.Process(target=_probe)
        probe.start()
        probe.join()
        # Forked, a process needs no imports of its own; where that bars it from the GPU: spawned.
        self.context: Any = fork if probe.exitcode == 0 else multiprocessing.get_context("spawn")

    def run(self, part: Callable[..., dict[str, Any]], *wanted: Any) -> dict[str, Any]:
        """Return what a part found, or {"error": ...}."""
        patience = min(self.setting.flags.patience, self.end - time.monotonic())
        if patience <= 0:
            return {"error": "not run: --budget is spent"}
        start = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self.setting.folder) as name:
            out = Path(name) / "found.json"
            process = self.context.Process(target=_part, args=(out, part, self.setting, *wanted))
            process.start()
            try:
                process.join(patience)
                late = process.is_alive()
            finally:  # Ctrl-C reaches this process alone
                if process.is_alive():
                    _end(process)
            if late:
                found = {"error": f"not finished in {patience:.0f} seconds"}
            elif out.is_file():
                found = json.loads(out.read_text(encoding="utf-8"))
            else:
                found = {"error": f"the process ended with {process.exitcode}"}
        found["seconds"] = round(time.monotonic() - start, 1)
        what = " ".join(str(each) for each in (part.__name__, *wanted))
        sys.stderr.write(f"{found['seconds']:6.1f} s  {what}  {found.get('error', '')}\n")
        return found


def _end(process: Any) -> None:
    """End a part and all that it started: left to themselves, loaders' workers hold our output."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.join(5)


def describe(setting: Setting) -> dict[str, Any]:
    """Return the card and the versions that the figures depend on."""
    del setting
    gpu = torch.cuda.is_available()
    return {
        "card": torch.cuda.get_device_name() if gpu else "none: CPU",
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / GIB if gpu else None,
        "torch": torch.__version__,
        **timing.machine(),
    }


def trained(setting: Setting, name: str, precision: str) -> dict[str, Any]:
    """Train a recipe for some steps on real batches, then on one batch again and again."""
    flags = setting.flags
    started = time.perf_counter()
    recipe = _recipe(setting, name, precision, flags.steps)
    run = _training(setting, recipe, f"{name}-{precision}", flags.workers)
    gpu, size = torch.cuda.is_available(), run.plan.batch_size
    ready = time.perf_counter()
    losses: list[float] = []
    times: list[float] = []

    def tick(_: int, loss: float) -> None:
        losses.append(loss)
        times.append(time.perf_counter())
        if len(times) > flags.warm + 1 and times[-1] - times[flags.warm] > flags.seconds:
            raise Enough

    with suppress(Enough):
        run.run(None, tick)
    # The last step of a whole run has the checkpoint in its time.
    taken = [b - a for a, b in pairwise(times[flags.warm : -1])]
    batch = next(iter(training(setting.train, replace(run.loading, workers=0), 0, size)))
    reused, again = _one_batch(run, batch, flags.seconds)
    busy = _busy(run, batch) if gpu else None
    pairs = size * recipe.run.accumulate
    return {
        "batch": size, "chunk": recipe.run.chunk, "workers": flags.workers,
        "text_columns": build.trim(batch.tokens, run.encoder).shape[-1],
        "steps": len(losses), "ready_s": ready - started, "first_step_s": times[0] - ready,
        "pairs_s": pairs * len(taken) / sum(taken) if taken else None,
        "step_ms": 1000 * statistics.median(taken) if taken else None,
        "one_batch_pairs_s": pairs / reused,
        "busy": None if busy is None else busy / reused,
        "peak_gib": torch.cuda.max_memory_allocated() / GIB if gpu else None,
        "reserved_gib": torch.cuda.max_memory_reserved() / GIB if gpu else None,
        "loss": _ends(losses), "one_batch_loss": _ends(again), "losses": losses,
        "scale": None if run.accelerator.scaler is None else run.accelerator.scaler.get_scale(),
    }  # fmt: skip


def loaded(setting: Setting, name: str, folder: Path, workers: int) -> dict[str, Any]:
    """Return the pairs a second of the loader alone, once all its workers are at it."""
    use_threads(1)
    shards = list_shards([folder], "train")
    recipe = _recipe(setting, name, "no", 1)
    recipe = replace(recipe, data=replace(recipe.data, weights=_turns(shards, 10**6)))
    towers = build.build(recipe.model, seed=0)
    loading = Loading(recipe, towers.size, towers.tokenize, workers=workers)
    batches = training(shards, loading, 0, recipe.run.batch_size)
    first = time.perf_counter()
    for _ in islice(batches, 4 * workers):  # what each worker has prepared before the measurement
        pass
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < setting.flags.loader_seconds:
        count += len(next(batches))
    taken = time.perf_counter() - start
    size = sum(shard.path.stat().st_size for shard in shards)
    return {
        "pairs_s": count / taken, "pairs": count, "start_s": start - first,
        "bytes_a_sample": size / sum(shard.samples for shard in shards),
    }  # fmt: skip


def resumed(runner: Runner, name: str, precision: str) -> dict[str, Any]:
    """Compare an uncut run with one that was cut and resumed, loss by loss."""
    before = runner.run(cut, name, precision)
    if "error" in before:
        return before
    after = runner.run(continued, name, precision)
    if "error" in after:
        return after
    whole, first = before["whole"], before["cut"]
    start = runner.setting.flags.resume_steps - len(after["losses"])
    later = list(zip(whole[start:], after["losses"], strict=True))
    return {
        "steps": len(whole), "cut_after": len(first), "resumed_from": start,
        "before_the_cut": _apart(list(zip(whole, first, strict=False))), "resumed": _apart(later),
        "validation": [before["best"], after["best"]], "whole": whole, "losses": after["losses"],
        "seconds": before["seconds"] + after["seconds"],
    }  # fmt: skip


def cut(setting: Setting, name: str, precision: str) -> dict[str, Any]:
    """Train once to the end, and once until two thirds of the steps, with a checkpoint at half."""
    whole, best = _resumable(setting, name, precision, "whole", stop=0)
    stop = 2 * setting.flags.resume_steps // 3
    first, _ = _resumable(setting, name, precision, "cut", stop=stop)
    return {"whole": whole, "cut": first, "best": best}


def continued(setting: Setting, name: str, precision: str) -> dict[str, Any]:
    """Continue from the checkpoint of the run that was stopped."""
    losses, best = _resumable(setting, name, precision, "cut", stop=0)
    return {"losses": losses, "best": best}


def compared(runner: Runner, name: str) -> dict[str, Any]:
    """Compare the losses of the same steps on the CPU and on the GPU, in float32."""
    there = runner.run(on_device, name, False)
    if "error" in there:
        return there
    here = runner.run(on_device, name, True)
    if "error" in here:
        return here
    pairs = list(zip(there["losses"], here["losses"], strict=True))
    return {
        "device": there["device"], "steps": len(pairs), "first": _apart(pairs[:1]),
        "apart": _apart(pairs), "loss": _ends(there["losses"]), "cpu_loss": _ends(here["losses"]),
        "seconds": there["seconds"] + here["seconds"],
    }  # fmt: skip


def on_device(setting: Setting, name: str, cpu: bool) -> dict[str, Any]:
    """Return the losses of some steps on the CPU, or on the GPU where there is one."""
    flags = setting.flags
    recipe = _recipe(setting, name, "no", flags.device_steps)
    run = _training(setting, recipe, f"{name}-{cpu}", flags.workers, cpu=cpu)
    losses: list[float] = []
    run.run(None, lambda _, loss: losses.append(loss))
    return {"losses": losses, "device": str(run.accelerator.device)}


def _resumable(
    setting: Setting, name: str, precision: str, out: str, stop: int
) -> tuple[list[float], float]:
    """Train from the last checkpoint in a folder, if any; return this run's losses and its best."""
    steps = setting.flags.resume_steps
    recipe = _recipe(setting, name, precision, steps, validate_every=steps // 2)
    folder = f"{name}-{precision}-{out}"
    run = _training(setting, recipe, folder, setting.flags.workers, validate=True)
    run.resume()
    losses: list[float] = []

    def tick(step: int, loss: float) -> None:
        losses.append(loss)
        if step == stop:
            raise Enough

    with suppress(Enough):
        run.run(MetricsWriter(run.job.out / "metrics", run.progress.rows), tick)
    return losses, run.progress.best


def _training(
    setting: Setting,
    recipe: Recipe,
    out: str,
    workers: int,
    *,
    validate: bool = False,
    cpu: bool = False,
) -> Training:
    """Return a training as cxr-vlp fit makes it."""
    use_threads(0)
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=recipe.run.precision,
        gradient_accumulation_steps=recipe.run.accumulate,
    )
    towers = build.build(recipe.model, seed=0)
    checked = setting.validate if validate else ()
    place = setting.folder / out
    # a state of its own: two runs of one recipe have one digest, and would share checkpoints
    job = TrainingJob(recipe, 0, setting.train, checked, place, workers, state=place / "state")
    return Training(job, towers, accelerator)


def _recipe(
    setting: Setting, name: str, precision: str, steps: int, validate_every: int = 0
) -> Recipe:
    """Return a recipe with random weights, at a precision, for so many steps of one epoch."""
    model: dict[str, Any] = {"pretrained": "", "image": "", "text_weights": False}
    if name in HUGGING_FACE:
        model["text"] = setting.bert
    # the shards may have no labels that the selection by AUROC needs
    run: dict[str, Any] = {"precision": precision, "steps": steps, "select": "loss"}
    run["validate_every"] = validate_every
    if setting.flags.batch:
        own = load(name).run
        run["batch_size"] = min(own.batch_size, setting.flags.batch)
        run["chunk"] = min(own.chunk, setting.flags.batch)
    if setting.flags.chunk is not None:
        run["chunk"] = setting.flags.chunk
    # few images are shown many times in an epoch: apart, their studies could not fill a batch
    recipe = load(name, {"model": model, "run": run, "data": {"apart": False}})
    # Twice over: studies and views make fewer pairs than there are samples.
    pairs = 2 * (steps + 2) * recipe.run.batch_size * recipe.run.accumulate
    weights = _turns(setting.train, pairs * recipe.image.count)
    return replace(recipe, data=replace(recipe.data, weights=weights))


def _turns(shards: Sequence[Shard], pairs: int) -> dict[str, float]:
    """Return how often the sources are passed through in an epoch, to show so many pairs."""
    turns = min(1000, 1 + pairs // sum(shard.samples for shard in shards))
    return {shard.source: float(turns) for shard in shards}


def _one_batch(run: Training, batch: Batch, seconds: float) -> tuple[float, list[float]]:
    """Take one batch again and again; return the seconds a step and the losses."""
    losses = [_again(run, batch, number) for number in range(ONE_BATCH_WARM)]
    _wait()
    start = time.perf_counter()
    for number in range(ONE_BATCH):
        losses.append(_again(run, batch, ONE_BATCH_WARM + number))
        if time.perf_counter() - start > seconds:
            break
    _wait()
    return (time.perf_counter() - start) / (len(losses) - ONE_BATCH_WARM), losses


def _busy(run: Training, batch: Batch) -> float:
    """Return the seconds a step in which the GPU computes or copies."""
    with profile(activities=[ProfilerActivity.CUDA]) as watched:
        for number in range(PROFILED):
            _again(run, batch, number)
        _wait()
    kernels = [
        event.self_device_time_total
        for event in watched.key_averages()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    ]
    return sum(kernels) / 1e6 / PROFILED


def _again(run: Training, batch: Batch, number: int) -> float:
    recipe = run.job.recipe
    batches = [batch] * recipe.run.accumulate
    return run.steps.step(run.plan.steps + number, batches, recipe.optim.lr)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _ends(losses: Sequence[float]) -> list[float]:
    """Return the mean of the first and of the last few losses."""
    few = max(1, min(MEAN, len(losses) // 2))
    return [statistics.fmean(losses[:few]), statistics.fmean(losses[-few:])]


def _apart(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the largest relative difference."""
    return max((abs(a - b) / max(abs(a), 1e-12) for a, b in pairs), default=0.0)


def _bert(folder: Path, shards: Sequence[Shard]) -> str:
    """Write a BERT base without weights, its words those of the shards' texts; return its path."""
    folder.mkdir()
    words: set[str] = set()
    for shard in shards:
        for stored in stored_samples(shard):
            sample = stored.sample
            found = (stored.caption, *sample.prompts, sample.findings, sample.impression)
            words.update(*(text.lower().replace(".", " . ").split() for text in found))
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]
    (folder / "vocab.txt").write_text("\n".join(known[: BERT["vocab_size"]]), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(BERT), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return str(folder)


def _part(out: Path, part: Callable[..., dict[str, Any]], setting: Setting, *wanted: Any) -> None:
    os.setsid()  # a group of its own, with the workers that it starts
    try:
        found = part(setting, *wanted)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
    out.write_text(json.dumps(found), encoding="utf-8")


def _probe() -> None:
    sys.exit(1 if torch.cuda._is_in_bad_fork() else 0)


def _write(out: Path | None, card: dict[str, Any], found: dict[str, Any]) -> None:
    path = out or timing.RESULTS / "gpu_run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": card, **found}, indent=1) + "\n", encoding="utf-8")


def _show(card: dict[str, Any], found: Found) -> None:
    """Print a table for each kind of part that was run."""
    columns = ("recipe", "precision", "batch", "workers", "steps", "pairs/s", "one batch", "busy")
    _table(
        f"trained on {card.get('card', card)}",
        (*columns, "GiB", "loss", "loss, one batch"),
        found["train"],
        lambda row: (
            row["recipe"], row["precision"], row["batch"], row["workers"], row["steps"],
            _number(row["pairs_s"], ",.0f"), _number(row["one_batch_pairs_s"], ",.0f"),
            _number(row["busy"], ".0%"),
            _number(row["peak_gib"], ".1f"), _change(row["loss"]), _change(row["one_batch_loss"]),
        ),
    )  # fmt: skip
    _table(
        "the loader alone",
        ("recipe", "shards", "workers", "pairs/s", "kB a sample"),
        found["loader"],
        lambda row: (
            row["recipe"], row["shards"], row["workers"], _number(row["pairs_s"], ",.0f"),
            _number(row["bytes_a_sample"] / 1000, ".0f"),
        ),
    )  # fmt: skip
    _table(
        "cut and resumed: largest relative difference of a loss",
        ("recipe", "precision", "steps", "resumed from", "apart before the cut", "resumed"),
        found["resume"],
        lambda row: (
            row["recipe"], row["precision"], row["steps"], row["resumed_from"],
            _number(row["before_the_cut"], ".1e"), _number(row["resumed"], ".1e"),
        ),
    )  # fmt: skip
    _table(
        "this device and the CPU: largest relative difference of a loss",
        ("recipe", "device", "steps", "first step", "any step", "loss", "loss on the CPU"),
        found["devices"],
        lambda row: (
            row["recipe"], row["device"], row["steps"], _number(row["first"], ".1e"),
            _number(row["apart"], ".1e"), _change(row["loss"]), _change(row["cpu_loss"]),
        ),
    )  # fmt: skip


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    cells: Callable[[dict[str, Any]], Sequence[Any]],
) -> None:
    if not rows:
        return
    drawn = Table(*columns, title=title, title_justify="left")
    for row in rows:
        if "error" not in row:
            drawn.add_row(*map(str, cells(row)))
    console = Console(width=140)
    console.print(drawn)
    for row in rows:
        if "error" in row:
            console.print("failed:", ", ".join(f"{k} {v}" for k, v in row.items()), markup=False)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _change(ends: Sequence[float]) -> str:
    return f"{ends[0]:.4f} -> {ends[1]:.4f}"


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--shards", type=Path, nargs="+", required=True, metavar="DIR", help="to train on")
    add("--out", type=Path, metavar="FILE", help="JSON (benchmarks/results/gpu_run.json)")
    add("--recipes", nargs="*", default=RECIPES, metavar="NAME", help="the published ones")
    add("--precisions", nargs="+", default=["bf16"], choices=("no", "bf16", "fp16"))
    add("--steps", type=int, default=100, metavar="N", help="of each recipe (100)")
    add("--seconds", type=float, default=20, metavar="S", help="or so long (20)")
    add("--warm", type=int, default=10, metavar="N", help="first steps that are not timed (10)")
    add("--batch", type=int, default=0, metavar="N", help="at most so many pairs (the recipe's)")
    add("--chunk", type=int, metavar="N", help="pairs a pass, 0: all (the recipe's)")
    add("--workers", type=int, default=0, metavar="W", help="of the trainings' loaders (0)")
    add("--loaders", type=Path, nargs="*", default=[], metavar="DIR", help="to read alone")
    add("--loader-recipes", nargs="+", default=["chexzero"], metavar="NAME", help="(chexzero)")
    add("--loader-workers", type=int, nargs="+", default=WORKERS, metavar="W")
    add("--loader-seconds", type=float, default=3, metavar="S", help="for each number (3)")
    add("--resume", nargs="*", default=[], metavar="RECIPE:PRECISION")
    add("--resume-steps", type=int, default=12, metavar="N", help="(12)")
    add("--devices", nargs="*", default=[], metavar="NAME", help="recipes to compare with a CPU")
    add("--device-steps", type=int, default=30, metavar="N", help="(30)")
    add("--patience", type=float, default=300, metavar="S", help="for one part (300)")
    add("--budget", type=float, default=0, metavar="S", help="start no part after it (0: no end)")
    add("--scratch", type=Path, metavar="DIR", help="for checkpoints (the system's temporary one)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
