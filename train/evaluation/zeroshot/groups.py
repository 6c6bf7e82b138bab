"""Measures by groups of patients, and beside radiologists, where the facts exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.tasks.base import TaskResult
from cxr_vlp.train.evaluation.zeroshot.measured import Measurement


def fairness(measurement: Measurement, intervals: Intervals) -> TaskResult:
    return TaskResult({})


def readers(measurement: Measurement, files: Sequence[Path], intervals: Intervals) -> TaskResult:
    return TaskResult({})
