"""Pairs of a statement and its denial: the same words, and the truth of the report."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.wording.bank import own_bank
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.pipelines.format.versions import FORMAT
from cxr_vlp.train.evaluation.negation import pairs
from cxr_vlp.train.evaluation.negation.pairs import LONG, SHORT


def read(report, **changes):
    found = annotate(report)
    names = ("text", "section", "index", "status", "rule", "mentions")
    rows = [{name: asdict(s)[name] for name in names} for s in found.sentences]
    facts = {"format": FORMAT, "sentences": rows, "statements": found.statements}
    return Sample.from_dict(facts | changes)


def of(report):
    return [(p.label, p.truth, p.stating, p.denying) for p in pairs.of_sample(read(report))]


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        (
            "FINDINGS: There is a small left pleural effusion.",
            ("Pleural Effusion", "present", "There is a small left pleural effusion.",
             "There is no small left pleural effusion."),
        ),
        (
            "FINDINGS: No pneumothorax.",
            ("Pneumothorax", "absent", "There is a pneumothorax.", "There is no pneumothorax."),
        ),
        (
            "FINDINGS: There may be pneumonia.",
            ("Pneumonia", "uncertain", "There is pneumonia.", "There is no pneumonia."),
        ),
        (
            "FINDINGS: Pneumonia is unlikely.",
            ("Pneumonia", "absent", "There is pneumonia.", "There is no pneumonia."),
        ),
        (
            "FINDINGS: Probable pneumonia.",
            ("Pneumonia", "uncertain", "There is pneumonia.", "There is no pneumonia."),
        ),
        (
            "FINDINGS: No acute fracture.",
            ("Fracture", "absent", "There is an acute fracture.", "There is no acute fracture."),
        ),
        (
            "FINDINGS: The heart is normal in size.",  # implied
            ("Cardiomegaly", "absent", "There is cardiomegaly.", "There is no cardiomegaly."),
        ),
        (
            "FINDINGS: Bilateral pleural effusions.",
            ("Pleural Effusion", "present", "There are bilateral pleural effusions.",
             "There are no bilateral pleural effusions."),
        ),
    ],
)  # fmt: skip
def test_the_other_polarity_says_the_same(report, wanted):
    assert of(report) == [wanted]


def test_what_no_statement_says_makes_no_pair():
    # "clear" denies an opacity that the other sentence states: the report says no such denial
    report = "FINDINGS: The lungs are clear. Left lower lobe opacity."
    assert {truth for label, truth, *_ in of(report) if label == "Lung Opacity"} == {"present"}
    assert pairs.of_sample(read(report, statements=[])) == ()


def test_a_statement_that_is_said_twice_is_one_pair():
    assert len(of("FINDINGS: No pneumothorax. IMPRESSION: No pneumothorax.")) == 1


def test_every_label_of_the_bank_has_short_and_long_pairs_of_one_name():
    bank = own_bank()
    for label, names in bank.names.items():
        found = list(pairs.of_bank(label, bank))
        assert [each.kind for each in found] == [SHORT, LONG] * len(names)
        for each in found:
            assert not set(each.stating) & set(each.denying)


def test_short_and_long():
    short, long, *_ = pairs.of_bank("Pneumothorax", own_bank())
    assert (short.stating, short.denying) == (("Pneumothorax.",), ("No pneumothorax.",))
    assert "There is no pneumothorax." in long.denying
    assert "There is a pneumothorax." in long.stating
    assert min(len(text.split()) for text in (*long.stating, *long.denying)) >= 3


def test_a_label_that_the_bank_does_not_know_is_named_as_it_is_spelled():
    short, _ = pairs.of_bank("Some New Label", own_bank())
    assert short.denying == ("No some new label.",)
