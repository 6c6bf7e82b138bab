"""Computes, for every image, the share of pairs in which the statement outscores its denial.

A tie counts half, so a model that says the same of everything has one half: chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_vlp.nlp.wording.bank import Bank
from cxr_vlp.train.evaluation.negation import pairs
from cxr_vlp.train.evaluation.negation.pairs import Named, Stated
from cxr_vlp.train.evaluation.scores import Floats


@dataclass(frozen=True, slots=True)
class BankPairs:
    """All texts of the labels, each once, and what each label compares."""

    texts: tuple[str, ...]
    named: tuple[Named, ...]

    @classmethod
    def of(cls, labels: Sequence[str], bank: Bank) -> BankPairs:
        """Return the pairs of these labels."""
        named = tuple(each for label in labels for each in pairs.of_bank(label, bank))
        texts = {text for each in named for text in (*each.stating, *each.denying)}
        return cls(tuple(sorted(texts)), named)

    def shares(self, similarity: Floats) -> dict[tuple[str, str], Floats]:
        """Return (label, kind) -> (B,), the mean over the names; similarity: (B, texts)."""
        places = {text: place for place, text in enumerate(self.texts)}
        found: dict[tuple[str, str], list[Floats]] = {}
        for each in self.named:
            stating = similarity[:, [places[text] for text in each.stating]]
            denying = similarity[:, [places[text] for text in each.denying]]
            found.setdefault((each.label, each.kind), []).append(won(stating, denying))
        return {key: np.mean(several, axis=0) for key, several in found.items()}


def won(stating: Floats, denying: Floats) -> Floats:
    """Return (B,): the share of the pairs of (B, S) and (B, D) in which the first is higher."""
    first, second = stating[:, :, None], denying[:, None, :]
    shares: Floats = ((first > second) + (first == second) / 2).mean(axis=(1, 2))
    return shares


def of_statements(
    stated: Sequence[Stated], similarity: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """Return (label, truth) -> share, of the pairs of one image; similarity: of each text."""
    found: dict[tuple[str, str], list[float]] = {}
    for pair in stated:
        first, second = similarity[pair.stating], similarity[pair.denying]
        share = float(first > second) + (first == second) / 2
        found.setdefault((pair.label, pair.truth), []).append(share)
    return {key: float(np.mean(several)) for key, several in found.items()}
