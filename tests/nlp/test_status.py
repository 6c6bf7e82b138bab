"""Status: the pitfalls of report language, sentence by sentence, and the filter's policy."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.annotate import AnnotatedSentence
from cxr_vlp.nlp.status import (
    STATUSES,
    Filtered,
    FilterPolicy,
    abnormal_part,
    classify,
    filter_sentences,
    subtype_of,
)

# Own sentences, several for each kind of pitfall: change, resolution, lists, scope ends, ...
SENTENCES = list(
    csv.DictReader(
        (Path(__file__).parent / "sentences.tsv").open(encoding="utf-8"),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)


@pytest.mark.parametrize("row", SENTENCES, ids=[row["sentence"][:60] for row in SENTENCES])
def test_pitfall(row: dict[str, str]) -> None:
    assert classify(row["sentence"]).status == row["status"]


@pytest.mark.parametrize(
    ("sentence", "subtype"),
    [
        ("Right PICC with its tip in the SVC.", "device"),
        ("Recommend follow-up CT.", "recommendation"),
        ("The study is limited by rotation.", "quality"),
        ("PA and lateral views were obtained.", "technique"),
        ("The cardiac silhouette is stable.", "stability"),
        ("Discussed with the referring physician.", "communication"),
        ("Left knee.", "heading"),
    ],
)
def test_subtype_of_a_nonfinding(sentence: str, subtype: str) -> None:
    status = classify(sentence)
    assert (status.status, status.subtype) == ("nonfinding", subtype)


def test_a_status_has_its_rule_and_its_mixed_flag() -> None:
    assert classify("Mild edema.").rule == "finding.present"
    assert classify("No edema.").rule == "finding.denied"
    assert classify("Cardiomegaly without edema.").mixed
    assert not classify("Cardiomegaly.").mixed


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("The lungs are hyperinflated but clear.", "The lungs are hyperinflated."),
        ("Small left effusion, no pneumothorax.", "Small left effusion."),
        ("Mild cardiomegaly without edema.", "Mild cardiomegaly."),
        ("No pneumothorax, but small effusion.", "Small effusion."),
        ("Small effusion and mild edema.", "Small effusion and mild edema."),
        ("Lungs are clear apart from a granuloma.", "Lungs are clear apart from a granuloma."),
    ],
)
def test_a_mixed_sentence_is_cut_at_the_clause(sentence: str, left: str) -> None:
    assert abnormal_part(sentence) == left


DEFAULT = FilterPolicy()


def filtered(texts: Sequence[str], policy: FilterPolicy = DEFAULT) -> Filtered:
    judged = [(text, classify(text)) for text in texts]
    return filter_sentences(
        [AnnotatedSentence(t, "findings", 0, s.status, s.subtype, s.rule, ()) for t, s in judged],
        policy,
    )


REPORT = ("Heart size is normal.", "Small left effusion, no pneumothorax.", "Possible pneumonia.",
          "PICC in the SVC.", "Recommend CT.")  # fmt: skip


def test_filter_keeps_what_is_abnormal_and_says_why() -> None:
    found = filtered(REPORT)
    assert found.kept == ("Small left effusion.", "Possible pneumonia.", "PICC in the SVC.")
    assert found.dropped == ("Heart size is normal.", "Recommend CT.")
    assert found.why == (
        "drop:normal",
        "cut:mixed",
        "keep:uncertain",
        "keep:device",
        "drop:recommendation",
    )
    assert found.fallback == ""
    assert [d.sentence for d in found.decisions] == list(REPORT)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (FilterPolicy(keep_devices=False), 2),
        (FilterPolicy(keep_uncertain=False), 2),
        (FilterPolicy(drop_nonfinding=False), 4),
        (FilterPolicy(drop_normal=False), 4),
        (FilterPolicy(uncertain="normal"), 2),
    ],
    ids=["no devices", "no hedges", "nonfindings stay", "normal stays", "hedges are normal"],
)
def test_policy(policy: FilterPolicy, kept: int) -> None:
    assert len(filtered(REPORT, policy).kept) == kept


def test_policy_may_leave_mixed_sentences_whole() -> None:
    assert REPORT[1] in filtered(REPORT, FilterPolicy(cut_mixed=False)).kept


def test_a_normal_report_keeps_its_normal_sentences() -> None:
    found = filtered(("The lungs are clear.", "PA view."))
    assert (found.kept, found.fallback) == (("The lungs are clear.",), "normal_report")
    emptied = filtered(("The lungs are clear.",), FilterPolicy(normal_report="empty"))
    assert (emptied.kept, emptied.fallback) == ((), "nothing_left")


def test_a_normal_report_without_normal_sentences_keeps_its_devices_else_all() -> None:
    assert filtered(("PICC in the SVC.", "PA view.")).kept == ("PICC in the SVC.",)
    assert filtered(("PA view.",)).kept == ("PA view.",)


def test_uncertain_sentences_may_count_as_normal() -> None:
    hedged = ("The lungs are clear.", "Possible pneumonia.")
    assert filtered(hedged).kept == ("Possible pneumonia.",)
    assert filtered(hedged, FilterPolicy(uncertain="normal")).kept == hedged


@pytest.mark.parametrize(
    ("rule", "subtype"),
    [
        ("device.sound", "device"),
        ("device.named", "device"),
        ("talk.technique", "technique"),
        ("structure.stable", "stability"),
        ("structure.named", "heading"),
        ("nothing.known", ""),
    ],
)
def test_the_rule_alone_says_what_a_nonfinding_is_about(rule: str, subtype: str) -> None:
    """A sample of a shard holds the rule of a sentence, but no subtype."""
    assert subtype_of(rule) == subtype


@given(st.lists(st.text(max_size=60), max_size=6))
def test_filter_accounts_for_every_sentence(texts: list[str]) -> None:
    found = filtered(texts)
    assert len(found.why) == len(texts)
    assert len(found.kept) + len(found.dropped) == len(texts)
    assert all(classify(text).status in STATUSES for text in texts)
