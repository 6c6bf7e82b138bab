"""Compares the methods under one budget: recipes x seeds, trained and scored on the same shards.

    python benchmarks/methods.py --shards DIR [--recipes chexzero_tiny best_tiny] [--seeds 0 1 2]

Each recipe is trained once for each seed by `cxr-vlp fit` and scored by `cxr-vlp evaluate`,
`--jobs` at a time: once with all our prompts (`frames`), once with CheXzero's two ("edema", "no
edema"). Finished runs are kept in --out and not repeated, even after a change of the code: give
another folder then. Prints, and writes to benchmarks/results/methods.json, the macro zero-shot
AUROC over the findings and the AUROC of No Finding computed in three ways, as mean and half the
range over the seeds. On synthetic collections, with minutes of training from random weights, this
shows that a method runs and in which direction it changes the result, and no more: differences
within the spread mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

import timing
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "chexzero_tiny", "sentence_relax_tiny", "cxrclip_tiny", "mococlip_tiny", "offclip_tiny",
    "carzero_tiny", "best_tiny",
)  # fmt: skip
ABLATIONS = tuple(str(path) for path in sorted(Path(__file__).parent.glob("ablations/*.yaml")))
BANKS = ("frames", "pair")
NO_FINDING_BY = ("direct", "pair", "one_minus_max")


def run(recipe: str, seed: int, shards: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Train and score one recipe with one seed, unless that was done; return metrics by bank."""
    folder = out / f"{Path(recipe).stem}-{seed}"
    found: dict[str, dict[str, Any]] = {}
    for bank in BANKS:
        metrics = folder / bank / "metrics.json"
        if not metrics.is_file():
            score(train(recipe, seed, shards, folder / "model"), shards, bank, metrics.parent)
        found[bank] = json.loads(metrics.read_text(encoding="utf-8"))
    return found


def train(recipe: str, seed: int, shards: Path, out: Path) -> Path:
    """Return the folder of a trained model; a run that was stopped is resumed."""
    if not (out / "recipe.json").is_file():
        params = ("--params", str(ROOT / "params.yaml"), "--seed", str(seed))
        command("cxr_vlp.train.fit", recipe, "--shards", str(shards), "--out", str(out), *params)
    return out


def score(model: Path, shards: Path, bank: str, out: Path) -> None:
    """Evaluate as params.yaml says, with another bank."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["evaluate"] |= {"bank": bank}
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f"{out.name}.yaml")  # beside OUT, which holds an evaluation's files only
    path.write_text(yaml.safe_dump({"evaluate": params["evaluate"]}), encoding="utf-8")
    folders = ("--model", str(model), "--shards", str(shards), "--out", str(out))
    command("cxr_vlp.train.evaluate", *folders, "--params", str(path))


def command(module: str, *arguments: str) -> None:
    """Run a command of the project on one thread; its message ends ours where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} {arguments[0]}: {done.stderr.strip()[-2000:]}")


def summary(recipe: str, runs: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return a recipe's means and spreads over its seeds."""
    columns = {f"macro, {bank}": [one[bank]["macro_auroc"] for one in runs] for bank in BANKS}
    columns |= {name: [no_finding(one["frames"], name) for one in runs] for name in NO_FINDING_BY}
    return {"recipe": Path(recipe).stem, "seeds": len(runs)} | {
        name: {"mean": mean(values), "spread": (max(values) - min(values)) / 2, "values": values}
        for name, values in columns.items()
    }


def no_finding(metrics: dict[str, Any], strategy: str) -> float:
    """Return No Finding's AUROC by a strategy: the mean over the collections that measure it."""
    found = [part["no_finding"].get(strategy) for part in metrics["collections"].values()]
    return mean(row["auroc"]["value"] for row in found if row and row["auroc"]["value"] is not None)


def main() -> int:
    """Train, score, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, required=True, metavar="DIR")
    parser.add_argument("--recipes", nargs="+", default=TINY + ABLATIONS, metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=timing.RESULTS / "methods")
    flags = parser.parse_args()
    tasks = [(recipe, seed) for seed in flags.seeds for recipe in flags.recipes]
    with ThreadPoolExecutor(flags.jobs) as pool:
        done = dict(
            zip(tasks, pool.map(lambda t: run(*t, flags.shards, flags.out), tasks), strict=True)
        )
    rows = [summary(name, [done[name, seed] for seed in flags.seeds]) for name in flags.recipes]
    shown = [name for name in rows[0] if name not in ("recipe", "seeds")]
    table = Table("recipe", *shown)
    for row in rows:
        cells = (f"{row[name]['mean']:.3f} ± {row[name]['spread']:.3f}" for name in shown)
        table.add_row(row["recipe"], *cells)
    Console(width=100).print(table)
    content = {"machine": timing.machine(), "shards": flags.shards.name, "rows": rows}
    timing.RESULTS.mkdir(exist_ok=True)
    path = timing.RESULTS / "methods.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
