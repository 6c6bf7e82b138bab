"""The share of pairs that an image prefers, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.nlp.wording.bank import own_bank
from cxr_vlp.train.evaluation.negation.pairs import LONG, SHORT, Stated
from cxr_vlp.train.evaluation.negation.preferences import BankPairs, of_statements, won


def test_all_pairs_count_and_a_tie_counts_half():
    stating, denying = np.array([[0.3, 0.5], [0.1, 0.1]]), np.array([[0.4, 0.3], [0.1, 0.1]])
    # 0.3 loses against 0.4 and ties with 0.3; 0.5 wins twice
    np.testing.assert_allclose(won(stating, denying), [2.5 / 4, 0.5])


def test_the_names_of_a_label_count_alike():
    bank = BankPairs.of(("Edema",), own_bank())
    names = [each for each in bank.named if each.kind == SHORT]
    similarity = np.zeros((1, len(bank.texts)))
    similarity[0, bank.texts.index(names[0].stating[0])] = 1
    similarity[0, bank.texts.index(names[1].denying[0])] = 1
    similarity[0, bank.texts.index(names[2].stating[0])] = 1
    found = bank.shares(similarity)
    assert found["Edema", SHORT] == pytest.approx([(1 + 0 + 1 + 0.5) / 4])
    assert found["Edema", LONG] == pytest.approx([0.5])


def test_the_statements_of_an_image_are_averaged_by_label_and_truth():
    stated = [
        Stated("Edema", "present", "a", "b"),
        Stated("Edema", "present", "c", "d"),
        Stated("Edema", "absent", "e", "f"),
    ]
    similarity = {"a": 0.2, "b": 0.1, "c": 0.3, "d": 0.3, "e": 0.1, "f": 0.4}
    assert of_statements(stated, similarity) == {
        ("Edema", "present"): 0.75,
        ("Edema", "absent"): 0.0,
    }
