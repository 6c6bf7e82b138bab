"""Status: the pitfalls of report language, sentence by sentence, and the filter's policy."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.status import STATUSES, FilterPolicy, classify, filter_report
from cxr_vlp.nlp.status_clauses import abnormal_part

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


def test_the_rule_and_the_mixed_mark_are_told() -> None:
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


REPORT = ("Heart size is normal.", "Small left effusion, no pneumothorax.", "Possible pneumonia.",
          "PICC in the SVC.", "Recommend CT.")  # fmt: skip


def test_filter_keeps_what_is_abnormal_and_says_why() -> None:
    filtered = filter_report(REPORT)
    assert filtered.kept == ("Small left effusion.", "Possible pneumonia.", "PICC in the SVC.")
    assert filtered.dropped == ("Heart size is normal.", "Recommend CT.")
    assert filtered.why == (
        "drop:normal",
        "cut:mixed",
        "keep:uncertain",
        "keep:device",
        "drop:recommendation",
    )
    assert filtered.fallback == ""


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (FilterPolicy(keep_devices=False), 2),
        (FilterPolicy(keep_uncertain=False), 2),
        (FilterPolicy(drop_nonfinding=False), 4),
        (FilterPolicy(drop_normal=False), 4),
    ],
    ids=["no devices", "no hedges", "nonfindings stay", "normal stays"],
)
def test_policy(policy: FilterPolicy, kept: int) -> None:
    assert len(filter_report(REPORT, policy).kept) == kept


def test_policy_may_leave_mixed_sentences_whole() -> None:
    assert REPORT[1] in filter_report(REPORT, FilterPolicy(cut_mixed=False)).kept


def test_a_normal_report_keeps_its_normal_sentences() -> None:
    filtered = filter_report(("The lungs are clear.", "PA view."))
    assert (filtered.kept, filtered.fallback) == (("The lungs are clear.",), "normal_report")
    emptied = filter_report(("The lungs are clear.",), FilterPolicy(normal_report="empty"))
    assert (emptied.kept, emptied.fallback) == ((), "nothing_left")


@given(st.lists(st.text(max_size=60), max_size=6))
def test_filter_accounts_for_every_sentence(texts: list[str]) -> None:
    filtered = filter_report(texts)
    assert len(filtered.why) == len(texts)
    assert len(filtered.kept) + len(filtered.dropped) == len(texts)
    assert all(classify(text).status in STATUSES for text in texts)
