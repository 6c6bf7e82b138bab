"""Measures all measures with bootstrap intervals: ours against scikit-learn in a loop.

    python benchmarks/evaluation_speed.py [--images N] [--labels N] [--resamples N] [--loop N]

The usual way draws a resample of the patients, gathers scores and truth, and calls scikit-learn for
each label and measure. Ours sorts a label once, and a resample is a row of weights. Both compute
AUROC, AUPRC, F1, MCC, accuracy, sensitivity at 90 % specificity and the Brier score; ours also the
expected calibration error, which scikit-learn does not have. The usual way would take minutes, so
it runs fewer resamples (--loop) in a turn, and its time is taken per resample. Besides the speed:
the largest difference between the intervals of both ways on the same resamples.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".src"), str(ROOT / "benchmarks")]

# ruff: noqa: E402 - the folders have to be known before
import numpy as np
import timing
from sklearn import metrics

from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights, interval_of
from cxr_vlp.train.evaluation.measures.table import measure
from cxr_vlp.train.evaluation.measures.thresholds import choose
from cxr_vlp.train.evaluation.scores import Floats

COMMON = ("auroc", "auprc", "f1", "mcc", "accuracy", "sensitivity", "brier")
OURS, LOOP = "ours", "scikit-learn in a loop"
MOST_SECONDS = 60  # of the whole table: "in seconds"
AGREEMENT = 1e-9


@dataclass(frozen=True)
class Task:
    """A table of scores: N images, L labels, two images a patient."""

    scores: Floats
    truth: np.ndarray
    groups: tuple[str, ...]
    thresholds: dict[str, float]
    resamples: int

    @property
    def names(self) -> list[str]:
        """The names of the L labels."""
        return [f"label {k}" for k in range(self.scores.shape[1])]


def main() -> int:
    """Measure, print the table, write results/evaluation_speed.json; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=14)
    parser.add_argument("--resamples", type=int, default=1000, help="of the whole table, once")
    parser.add_argument("--loop", type=int, default=5, help="resamples in a turn of the race")
    parser.add_argument("--seconds", type=float, default=20, help="wall time of the race")
    flags = parser.parse_args()
    task = made(flags.images, flags.labels, flags.loop)
    start = timing.cpu(), time.perf_counter()
    ours(made(flags.images, flags.labels, flags.resamples))
    whole = timing.cpu() - start[0]
    apart = difference(task)
    # the same number of resamples for both in a turn; sorting weighs most for ours with so few
    times = timing.race({OURS: ours, LOOP: loop}, [task], seconds=flags.seconds, warm=False)
    rows = timing.compare(
        f"a resample of {flags.images} images x {flags.labels} labels", times, to=OURS,
        items=flags.loop, bounds={LOOP: (10, None)},
    )  # fmt: skip
    note = (
        f"ours, {flags.images} images x {flags.labels} labels x {flags.resamples} resamples of 8 "
        f"measures: {whole:.1f} s of CPU time; the intervals of both differ by {apart:.1e} at most"
    )
    met = timing.publish("evaluation_speed", rows, packages=("numpy", "scikit-learn"), note=note)
    print(note)
    return 0 if met and whole < MOST_SECONDS and apart < AGREEMENT else 1


def made(images: int, labels: int, resamples: int) -> Task:
    """Return drawn scores of a fair model: 15 % positives, AUROC about .76."""
    rng = np.random.default_rng(0)
    truth = (rng.random((images, labels)) < 0.15).astype(np.int8)
    scores = 1 / (1 + np.exp(-(truth + rng.normal(size=truth.shape))))
    groups = tuple(f"p{place // 2}" for place in range(images))
    names = [f"label {k}" for k in range(labels)]
    return Task(scores, truth, groups, choose(scores, truth, names, "mcc"), resamples)


def ours(task: Task) -> dict[str, tuple[float | None, float | None]]:
    """Return measure -> interval of the macro mean, by this project."""
    found = measure(
        task.scores, task.truth, task.names, groups=task.groups,
        intervals=Intervals(task.resamples), average=task.names, thresholds=task.thresholds,
    )  # fmt: skip
    return {name: (found.macro[name].low, found.macro[name].high) for name in COMMON}


def loop(task: Task) -> dict[str, tuple[float | None, float | None]]:
    """Return the same by scikit-learn, resample by resample, label by label."""
    cuts = list(task.thresholds.values())
    draws = []
    for weights in bootstrap_weights(task.groups, Intervals(task.resamples)):
        for row in weights:
            chosen = np.repeat(np.arange(len(row)), row.astype(int))
            draws.append(
                np.mean(
                    [
                        one(task.truth[chosen, k], task.scores[chosen, k], cut)
                        for k, cut in enumerate(cuts)
                    ],
                    axis=0,
                )
            )
    table = np.array(draws)
    return {name: interval_of(table[:, place]) for place, name in enumerate(COMMON)}


def one(truth: np.ndarray, scores: Floats, cut: float) -> list[float]:
    """Return the measures of one label in one resample, by scikit-learn."""
    called = scores >= cut
    alarms, hits, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    return [
        metrics.roc_auc_score(truth, scores),
        metrics.average_precision_score(truth, scores),
        metrics.f1_score(truth, called),
        metrics.matthews_corrcoef(truth, called),
        metrics.accuracy_score(truth, called),
        hits[1 - alarms >= 0.9 - 1e-12].max(),
        metrics.brier_score_loss(truth, scores),
    ]


def difference(task: Task) -> float:
    """Return the largest difference between the ends of the intervals of both ways."""
    first, second = ours(task), loop(task)
    return max(float(np.abs(np.subtract(first[name], second[name])).max()) for name in COMMON)


if __name__ == "__main__":
    sys.exit(main())
