"""Measures every collection, all of them pooled, and the mean over the collections.

Everything here is computed from the tables of scores, the protocol, the thresholds and the
intervals alone, so that `again.py` makes the same numbers from the files of an evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures import table as measures
from cxr_vlp.train.evaluation.measures.column import Rules
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Measured
from cxr_vlp.train.evaluation.measures.thresholds import choose
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable

POOLED = "pooled"
NOTHING_LABELLED = "no image says whether it has this label"
Thresholds = Mapping[str, float]  # label -> threshold; of No Finding's strategies: asked(strategy)


@dataclass(frozen=True, slots=True)
class Part:
    """A collection, or all of them pooled: its table, and what was measured of it."""

    table: ScoreTable
    protocol: Protocol
    thresholds: Thresholds
    measured: Measured
    no_finding: Mapping[str, Measured]  # strategy -> one label, measured as any other


@dataclass(frozen=True, slots=True)
class Measurement:
    """The parts of an evaluation, and the headline: the mean over the collections."""

    parts: Mapping[str, Part]
    pooled: Part
    headline: Measured


def asked(strategy: str) -> str:
    """Return the name of No Finding by a strategy, in tables and among thresholds."""
    return f"{NO_FINDING} ({strategy})"


def measure(
    tables: Mapping[str, ScoreTable],
    protocols: Mapping[str, Protocol],
    thresholds: Mapping[str, Thresholds],
    whole: Protocol,
    intervals: Intervals,
) -> Measurement:
    """Return what is measured of the collections.

    tables, protocols: by collection. thresholds: by collection and for POOLED, chosen on other
    images. whole: the protocol of the pooled images.
    """
    parts = {
        name: part(table, protocols[name], thresholds.get(name, {}), intervals)
        for name, table in tables.items()
    }
    together = pooled(tables)
    sources = tuple(fact.source for fact in together.facts)
    own = of_pooled(tables, protocols, whole)
    of_all = part(together, own, thresholds.get(POOLED, {}), intervals, sources)
    headline = measures.mean_of({name: each.measured for name, each in parts.items()})
    return Measurement(parts, of_all, headline)


def part(
    table: ScoreTable,
    protocol: Protocol,
    thresholds: Thresholds,
    intervals: Intervals,
    strata: Sequence[str] = (),
) -> Part:
    """Return what is measured of one table; strata: AUROC compares images of one stratum only."""
    measured = partial(
        measures.measure,
        groups=[fact.patient for fact in table.facts],
        intervals=intervals,
        thresholds=thresholds,
        least=protocol.min_positives,
        strata=strata,
    )
    found = measured(
        table.scores, table.truth, table.names,
        average=averaged(table.names, protocol),
        rules=rules(protocol, probabilities=table.probabilities),
    )  # fmt: skip
    place = table.names.index(NO_FINDING) if table.no_finding else -1
    strategies = {
        how: measured(
            scores[:, None], table.truth[:, [place]], (asked(how),),
            average=(), rules=rules(protocol, probabilities=table.probabilities or how == "pair"),
        )
        for how, scores in table.no_finding.items()
    }  # fmt: skip
    return Part(table, protocol, thresholds, found, strategies)


def rules(protocol: Protocol, *, probabilities: bool) -> Rules:
    """Return what a protocol says of the measures of every label."""
    return Rules(None, protocol.thresholds.specificity, protocol.bins, probabilities)


def of_pooled(
    tables: Mapping[str, ScoreTable], protocols: Mapping[str, Protocol], whole: Protocol
) -> Protocol:
    """Return the protocol of the pooled images: it averages what any collection averages.

    A collection may average other labels than `whole` says (Protocol.of).
    """
    of = {name: averaged(table.names, protocols[name]) for name, table in tables.items()}
    names = tuple(dict.fromkeys(name for each in of.values() for name in each))
    return replace(whole, labels=(), average=names, no_finding="averaged") if names else whole


def averaged(names: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """Return the labels of the macro mean."""
    if protocol.average:
        return tuple(name for name in protocol.average if name in names)
    apart = protocol.no_finding == "apart"
    return tuple(name for name in names if name != NO_FINDING or not apart)


def pooled(tables: Mapping[str, ScoreTable]) -> ScoreTable:
    """Return one table of the images of all collections.

    A label that a collection does not have is EXCLUDED there; its score is then not looked at.
    """
    names = tuple(dict.fromkeys(name for table in tables.values() for name in table.names))
    facts: list[ImageFacts] = [fact for table in tables.values() for fact in table.facts]
    scores = np.zeros((len(facts), len(names)))
    truth = np.full((len(facts), len(names)), EXCLUDED, np.int8)
    row = 0
    for table in tables.values():
        rows = slice(row, row + len(table.facts))
        for i, name in enumerate(table.names):
            scores[rows, names.index(name)] = table.scores[:, i]
            truth[rows, names.index(name)] = table.truth[:, i]
        row += len(table.facts)
    probabilities = all(table.probabilities for table in tables.values())
    return ScoreTable(tuple(facts), names, scores, truth, _strategies(tables), probabilities)


def _strategies(tables: Mapping[str, ScoreTable]) -> dict[str, np.ndarray]:
    """Return No Finding's scores over all images.

    Where a collection does not know No Finding its truth is EXCLUDED, and zeros are not looked at.
    """
    names = dict.fromkeys(how for table in tables.values() for how in table.no_finding)
    return {
        how: np.concatenate(
            [t.no_finding.get(how, np.zeros(len(t.facts))) for t in tables.values()]
        )
        for how in names
    }


def chosen(table: ScoreTable, protocol: Protocol) -> dict[str, float]:
    """Return the thresholds by a table of the validation split, of No Finding's strategies too.

    Raises ConfigError for `half` where the scores are no probabilities.
    """
    by = protocol.thresholds.by
    if by == "half" and not table.probabilities:
        raise ConfigError(
            "evaluate.thresholds: half is a threshold of 0.5, and these scores are no "
            "probabilities: choose mcc, f1, youden or none"
        )
    found = choose(table.scores, table.truth, table.names, by)
    for how, scores in table.no_finding.items():
        place = table.names.index(NO_FINDING)
        found |= choose(scores[:, None], table.truth[:, [place]], (asked(how),), by)
    return found
