"""Labels: names between the collections, merging over a report, MeSH terms."""

from __future__ import annotations

import pytest

from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.labels import (
    CHESTXRAY14,
    CHEXPERT14,
    VINDR,
    canonical,
    from_mentions,
    from_mesh,
)


@pytest.mark.parametrize("name", sorted({*CHEXPERT14, *CHESTXRAY14, *VINDR}))
def test_our_own_names_are_canonical(name: str) -> None:
    assert canonical(name) == name
    assert canonical(name.lower().replace(" ", "_")) == name


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("Effusion", "Pleural Effusion"),
        ("Pleural_Thickening", "Pleural Thickening"),
        ("Nodule/Mass", "Nodule/Mass"),
        ("Pleural effusion", "Pleural Effusion"),
        ("Pulmonary fibrosis", "Fibrosis"),
        ("Hernia, Hiatal", "Hernia"),
        ("No finding", "No Finding"),
        ("some_new label", "Some New Label"),
        ("", ""),
    ],
)
def test_canonical(given: str, wanted: str) -> None:
    assert canonical(given) == wanted


def labels(*sentences: str) -> dict[str, int]:
    return from_mentions(m for s in sentences for m in mentions(s))


def test_positive_outweighs_uncertain_outweighs_negative() -> None:
    assert labels("No effusion.", "Possible effusion.")["Pleural Effusion"] == -1
    assert labels("Possible effusion.", "Small effusion.", "No effusion.")["Pleural Effusion"] == 1


def test_one_mention_counts_in_every_label_set() -> None:
    found = labels("A lung nodule.")
    assert {found[n] for n in ("Nodule", "Lung Lesion", "Nodule/Mass")} == {1}


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("The lungs are clear.", 1),
        ("The lungs are clear. Endotracheal tube in place.", 1),
        ("Possible pneumonia.", 0),
        ("Degenerative changes of the spine.", 0),
    ],
    ids=["normal", "device only", "uncertain", "long tail"],
)
def test_no_finding(sentence: str, wanted: int) -> None:
    assert labels(*sentence.split(". "))["No Finding"] == wanted


def test_nothing_said_is_no_label() -> None:
    assert labels("PA and lateral views.") == {}


@pytest.mark.parametrize(
    ("terms", "wanted"),
    [
        (["normal"], {"No Finding": 1}),
        (["Opacity/lung/upper lobe/right"], {"Lung Opacity": 1}),
        (["normal", "Cardiomegaly/mild"], {"Cardiomegaly": 1}),
        (["Technical Quality of Image Unsatisfactory ", "No Indexing"], {}),
        (["normal", "Catheters, Indwelling/left"], {"No Finding": 1, "Support Devices": 1}),
        (["Cardiac Shadow/enlarged"], {"Cardiomegaly": 1}),
        (["Thickening/pleura/apex"], {"Pleural Other": 1, "Pleural Thickening": 1}),
        (["Funnel Chest"], {"Funnel Chest": 1}),
        ([""], {}),
    ],
)
def test_mesh(terms: list[str], wanted: dict[str, int]) -> None:
    assert from_mesh(terms) == wanted
