"""Labels: what one holds or nearly means of another, so that no text says one and denies the other.

The table is lexicon/relations.yaml. It says what a text may not deny; it never adds a label.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.labels import DEVICES, NEGATIVE, NO_FINDING, POSITIVE


@functools.cache
def held(label: str) -> frozenset[str]:
    """Return the labels that nobody may deny who says `label`; it is not among them."""
    table = lexicon.load("relations")
    found: set[str] = set()
    waiting = [label]
    while waiting:
        for name in table["implies"].get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    for row in table["overlaps"]:
        if label in row:
            found.update(row)
    return frozenset(found - {label})


def never_denied() -> frozenset[str]:
    """Return the labels that stand for the rest of a list: no text can deny them in few words."""
    return frozenset(lexicon.load("relations")["never_denied"])


def deniable(labels: Mapping[str, int]) -> tuple[str, ...]:
    """Return the labels of a row that a text may deny, sorted: explicit zeros only.

    A label without a key was not looked for, or was not mentioned, and is not denied. A zero is
    left out where a label that is positive or uncertain holds or nearly means the same.
    """
    kept = {name for said, state in labels.items() if state != NEGATIVE for name in held(said)}
    zeros = {name for name, state in labels.items() if state == NEGATIVE and name != NO_FINDING}
    return tuple(sorted(zeros - kept - never_denied()))


def contradicts_itself(labels: Mapping[str, int]) -> bool:
    """Tell whether a row denies what it also says.

    That is a positive label beside a zero that it holds (Pneumonia 1, Lung Opacity 0), or No
    Finding beside a positive finding.
    """
    positive = [n for n, state in labels.items() if state == POSITIVE and n != NO_FINDING]
    zeros = {name for name, state in labels.items() if state == NEGATIVE}
    implied = (set(lexicon.load("relations")["implies"].get(n, ())) for n in positive)
    if any(zeros & names for names in implied):
        return True
    return labels.get(NO_FINDING) == POSITIVE and any(name != DEVICES for name in positive)
