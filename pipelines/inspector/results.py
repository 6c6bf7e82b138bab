"""Finds the samples that filters describe, and keeps the latest results."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import LABELS
from cxr_vlp.pipelines.inspector.filters import FilterError, Filters
from cxr_vlp.pipelines.selection import query

Places = np.ndarray[Any, Any]  # rising int64: the places of rows in the table
_KEPT = 24  # results; one of 400,000 samples takes 3 MB


@dataclass(frozen=True)
class Result:
    """The places of the samples found, and how many studies and patients they are of."""

    places: Places
    studies: int
    patients: int


class Results:
    """The results of filters on one table; safe between threads."""

    def __init__(self, table: pa.Table, search: Callable[[str, str], Places]) -> None:
        self._table = table
        self._search = search
        self._kept: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, filters: Filters) -> Result:
        """Return the samples that pass all filters, in the order of the table.

        Raises FilterError, ConfigError for a condition that is wrong, and what `search` raises.
        """
        words = filters.one("q"), filters.one("in")
        return self._once(("result", filters.condition, *words), lambda: self._result(filters))

    def matching(self, condition: str) -> Places:
        """Return the places of the samples for which a condition is true. Raises ConfigError."""
        return self._once(("where", condition), lambda: self._matching(condition))

    def _result(self, filters: Filters) -> Result:
        if not filters.labels <= self._labels:
            raise FilterError("No sample of the sets has a label of this name.")
        places = self.matching(filters.of_choices)
        if own := filters.one("where"):
            # alone, so that it cannot end the brackets that are put around it in a command line
            places = self._common(places, self.matching(own))
        if filters.one("q"):
            found = self._search(filters.one("q"), filters.one("in"))
            places = self._common(places, found)
        return Result(places, *self._distinct(places))

    def _matching(self, condition: str) -> Places:
        if not condition:
            return np.arange(self._table.num_rows)
        try:
            found = query.places(self._table, condition)
        except ConfigError as error:
            raise ConfigError(str(error).removeprefix("--where: ")) from None
        return np.array(found, np.int64)

    def _common(self, one: Places, other: Places) -> Places:
        """Return the places that are in both; a mask, because a sort takes ten times as long."""
        among = np.zeros(self._table.num_rows, bool)
        among[other] = True
        return one[among[one]]

    def _distinct(self, places: Places) -> tuple[int, int]:
        studies, patients = self._numbers
        return _different(studies[places]), _different(patients[places])

    @cached_property
    def _labels(self) -> frozenset[str]:
        return frozenset((*LABELS, *query.other_labels(self._table)))

    @cached_property
    def _numbers(self) -> tuple[Places, Places]:
        """For every row a number of its study and one of its patient."""
        patients = numbered(self._table, ("dataset", "patient"))
        return numbered(self._table, ("dataset", "patient", "study")), patients

    def _once(self, name: tuple[str, ...], make: Callable[[], Any]) -> Any:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        made = make()
        with self._lock:
            self._kept[name] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def numbered(table: pa.Table, names: Sequence[str]) -> Places:
    """Return a number for every row; rows that are equal in the columns have the same number.

    The numbers are below the number of rows, so that they can be counted.
    """
    numbers = np.zeros(table.num_rows, np.int64)
    for name in names:
        column = table.column(name).combine_chunks().dictionary_encode("encode")
        pairs = numbers * (len(column.dictionary) or 1) + column.indices.to_numpy()
        numbers = np.unique(pairs, return_inverse=True)[1]
    return numbers


def _different(numbers: Places) -> int:
    return int(np.count_nonzero(np.bincount(numbers)))


def neighbours(places: Places, place: int) -> tuple[int, int | None, int | None]:
    """Return (number from 1, or 0 if not among them; place before; place after)."""
    at = int(np.searchsorted(places, place))
    here = at < len(places) and int(places[at]) == place
    after = at + 1 if here else at
    before = int(places[at - 1]) if at else None
    return (at + 1 if here else 0), before, int(places[after]) if after < len(places) else None


def page_of(places: Places, number: int, size: int) -> Places:
    """Return the places of a page; pages are counted from 1."""
    return places[(number - 1) * size : number * size]
