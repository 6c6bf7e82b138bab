"""What a task is: a function from one evaluation to numbers, tables and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.evaluation.benchmark_sets import BenchmarkSet
from cxr_vlp.train.evaluation.measures.resampling import Intervals as Intervals
from cxr_vlp.train.evaluation.models.base import Model, ScoreSource
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.scores import ScoreTable


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run of `cxr-vlp evaluate`.

    models: one, or several for an ensemble (the mean of their scores). shards: split -> shards.
    `split` is the one that is measured; thresholds come from `validate`, the probe learns on
    `train`. limit: read about this many images of each source; 0: all. benchmark: measure only the
    images of this set.
    """

    models: tuple[Model, ...]
    shards: Mapping[str, tuple[Shard, ...]]
    split: str
    protocol: Protocol
    intervals: Intervals
    limit: int = 0
    workers: int = 0
    out: Path = Path()
    benchmark: BenchmarkSet | None = None
    score_files: tuple[ScoreSource, ...] = ()
    readers: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task found.

    metrics: its part of metrics.json, with every count that decides a number. tables: file name
    (labels.csv) -> rows with equal keys. summary: few numbers for `dvc metrics`, flat. notes:
    lines for the user (what was left out, and why).
    """

    metrics: Mapping[str, Any]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    summary: Mapping[str, float | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    scores: Sequence[ScoreTable] = ()  # of every collection, for scores.parquet


Task = Callable[[Evaluation], TaskResult]
# name -> the module whose function `run` is the task; imported only when asked for
TASKS: Mapping[str, str] = {
    "zeroshot": "cxr_vlp.train.evaluation.tasks.zeroshot",
    "retrieval": "cxr_vlp.train.evaluation.tasks.retrieval",
    "grounding": "cxr_vlp.train.evaluation.tasks.grounding",
    "probe": "cxr_vlp.train.evaluation.tasks.probe",
    "negation": "cxr_vlp.train.evaluation.tasks.negation",
}
