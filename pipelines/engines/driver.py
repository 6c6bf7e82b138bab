"""Runs the elements of a stage on an engine, and answers for each of them exactly once.

Engines may try an element twice, lose one, or return them in any order. Here every outcome is
counted: an element that comes twice must agree with itself, and one that does not come stops the
run. A fault of an element becomes the Stop that it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.engines.base import (
    Element,
    Engine,
    Outcome,
    Result,
    RunSettings,
    Work,
)
from cxr_vlp.pipelines.errors import DataError, EngineError, Stop
from cxr_vlp.pipelines.executor.progress import showing
from cxr_vlp.pipelines.executor.run_log import RunLog


def run(
    work: Work, elements: Sequence[Element], settings: RunSettings, engine: Engine
) -> dict[str, Result]:
    """Return name -> result of every element, in the order of `elements`. Raises as `results`."""
    found = dict(results(work, elements, settings, engine))
    return {element.name: found[element.name] for element in elements}


def results(
    work: Work, elements: Sequence[Element], settings: RunSettings, engine: Engine
) -> Iterator[tuple[str, Result]]:
    """Yield (name, result) of every element exactly once, as they finish; show how many are done.

    Each gets a line in the log of the run. Raises as `answers`.
    """
    if not elements:
        return
    log = RunLog(settings.log, len(elements))
    with (
        showing(settings.stage, log.state),
        contextlib.closing(answers(work, elements, settings, engine)) as found,
    ):
        for name, result in found:
            log.add(name, result)
            yield name, result


def answers(
    work: Work, elements: Sequence[Element], settings: RunSettings, engine: Engine
) -> Generator[tuple[str, Result], None, None]:
    """Yield (name, result) of every element exactly once, as they finish.

    Nothing is started if there are no elements.
    Raises the Stop of an element that could not be done: of several, that of the smallest name, so
    that a run on more workers ends with the same message. Raises EngineError if elements are lost.
    """
    if not elements:
        return
    ordered = sorted(elements, key=lambda element: element.name)
    accounts = Accounts([element.name for element in ordered], frozenset(work.spent))
    with contextlib.closing(engine.map(work, ordered, settings)) as outcomes:
        for outcome in outcomes:
            if accounts.take(outcome):
                yield outcome["name"], outcome["result"]
            accounts.check_faults()
    accounts.check()


@dataclass
class Accounts:
    """Which elements have come back, and what is wrong with them; `wanted` is sorted."""

    wanted: Sequence[str]
    spent: Collection[str] = ()  # keys of results in which two attempts may differ
    digests: dict[str, str] = field(default_factory=dict)  # of the results that came
    faults: dict[str, Stop] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)  # name -> place in `wanted`

    def __post_init__(self) -> None:
        """Refuse elements with the same name."""
        self.places = {name: place for place, name in enumerate(self.wanted)}
        if len(self.places) != len(self.wanted):
            raise DataError("internal: two elements have one name: please report it")

    def take(self, outcome: Outcome) -> bool:
        """Count an outcome; return whether it is the first result of its element.

        Raises EngineError for an unknown element, and for two results that differ.
        """
        name = outcome["name"]
        if name not in self.places:
            raise EngineError("runner.lost: the engine returned an element of another run")
        if "fault" in outcome:
            kind, message = outcome["fault"]
            self.faults.setdefault(name, errors.BY_NAME.get(kind, DataError)(message))
            return False
        digest, before = digest_of(outcome["result"], self.spent), self.digests.get(name)
        if before not in (None, digest):
            raise EngineError(
                f"runner.differs: two attempts at {name} had different results; the workers may "
                "not have the same inputs or the same version: check them, and run again"
            )
        self.faults.pop(name, None)  # a fault of a first attempt does not outlive a good second one
        self.digests[name] = digest
        return before is None

    def check_faults(self) -> None:
        """Raise the fault of the smallest name when no smaller name can still get one."""
        faulty = min(set(self.faults) - set(self.digests), default=None)
        if faulty is not None and all(
            name in self.digests for name in self.wanted[: self.places[faulty]]
        ):
            raise self.faults[faulty]

    def check(self) -> None:
        """Raise the fault that is left, and EngineError if elements did not come back."""
        left = min(set(self.faults) - set(self.digests), default=None)
        if left is not None:
            raise self.faults[left]
        lost = len(self.wanted) - len(self.digests)
        if lost:
            raise EngineError(
                f"runner.lost: {lost} of {len(self.wanted)} elements have no result; finished ones "
                "are kept: run again"
            )


def digest_of(result: Result, spent: Collection[str]) -> str:
    """Return the digest of a result without the keys in which two attempts may differ."""
    kept = {name: value for name, value in result.items() if name not in spent}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
