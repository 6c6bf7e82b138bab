"""Computes how each evaluation differs from the first one, on the images that both scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import comparison
from cxr_vlp.train.evaluation.comparison import Comparison
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Estimate
from cxr_vlp.train.pages.site.evaluations import Evaluated

MEASURE = "auroc"


@dataclass(frozen=True, slots=True)
class Change:
    """How a label's AUROC differs in a collection; p: of DeLong's test, None where it has none."""

    collection: str
    estimate: Estimate
    p: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How `second` differs from `first` in macro AUROC; `why` it is not compared, "" else.

    collections: the difference in each; labels: label -> its differences, a collection each.
    images: that both scored; alone: that only one of them scored. left_out: collection -> why it is
    not compared.
    """

    first: str
    second: str
    headline: Estimate | None = None
    collections: Mapping[str, Estimate] = field(default_factory=dict)
    labels: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    images: int = 0
    alone: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def of(evaluations: Sequence[Evaluated]) -> tuple[Difference, ...]:
    """Return the differences of each evaluation from the first; none for a single one.

    The comparison is that of `cxr-vlp compare`; what it refuses is said in `why`.
    """
    return tuple(_of(evaluations[0], each) for each in evaluations[1:])


def intervals(evaluated: Evaluated) -> Intervals:
    """Return how the intervals of an evaluation were made."""
    given = evaluated.decided_by["intervals"]
    return Intervals(given["resamples"], given["by"], given["seed"])


def _of(first: Evaluated, second: Evaluated) -> Difference:
    if first.finished is None or second.finished is None:
        name = first.name if first.finished is None else second.name
        return Difference(first.name, second.name, why=f"{name} has no scores of images")
    try:
        made = comparison.compare(first.finished, second.finished, intervals(first), [MEASURE])
    except (ConfigError, DataError) as refused:
        return Difference(first.name, second.name, why=_named(str(refused), (first, second)))
    return _made(first.name, second.name, made)


def _made(first: str, second: str, made: Comparison) -> Difference:
    labels: dict[str, list[Change]] = {}
    for name, each in made.collections.items():
        for row in each.paired.difference.labels:
            if not row.why:
                test = each.paired.delong.get(row.label)
                change = Change(name, row.values[MEASURE], test.p if test else None)
                labels.setdefault(row.label, []).append(change)
    found = made.collections.values()
    return Difference(
        first,
        second,
        made.means[2].macro[MEASURE],
        {name: each.paired.difference.macro[MEASURE] for name, each in made.collections.items()},
        labels,
        sum(each.images for each in found),
        sum(each.only_first + each.only_second for each in found),
        made.left_out,
    )


def _named(message: str, evaluations: Sequence[Evaluated]) -> str:
    """Return a message with the names of evaluations in place of the paths of their folders."""
    for each in sorted(evaluations, key=lambda each: -len(str(each.folder))):
        message = message.replace(str(each.folder), each.name)
    return message
