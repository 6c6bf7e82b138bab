"""Sides, places, severities, sizes and suggestions of findings; names of another meaning."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.labels import labels_of

WORDINGS = list(
    csv.DictReader(
        (Path(__file__).parent / "modifiers.tsv").open(encoding="utf-8"),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)


def found(sentence: str) -> list[Mention]:
    return [m for m in mentions(sentence) if not m.device and not m.implied]


def shown(mention: Mention) -> str:
    places = ",".join(mention.places)
    sizes = ",".join(f"{size:g}" for size in mention.sizes_mm)
    return "/".join((mention.finding, mention.side, mention.severity, places, sizes))


@pytest.mark.parametrize("row", WORDINGS, ids=[row["sentence"][:60] for row in WORDINGS])
def test_what_a_phrase_says(row: dict[str, str]) -> None:
    """The rows read finding/side/severity/places/sizes in mm, devices left out."""
    assert "; ".join(map(shown, found(row["sentence"]))) == row["mentions"]


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        (
            "Pneumothorax: small on the right, none on the left.",
            [("right", "present"), ("left", "absent")],
        ),
        ("Small left effusion, none on the right.", [("left", "present"), ("right", "absent")]),
        (
            "No effusion on the right and moderate effusion on the left.",
            [("right", "absent"), ("left", "present")],
        ),
    ],
)
def test_each_side_is_present_or_absent(sentence: str, wanted: list[tuple[str, str]]) -> None:
    assert [(m.side, m.assertion) for m in found(sentence)] == wanted


@pytest.mark.parametrize(
    "sentence",
    [
        "The effusion is smaller.",
        "The effusion is larger than before.",
        "The effusion has slightly increased.",
        "The effusion is not significantly changed.",
        "Mild interval improvement of the effusion.",
        "Marked increase in the effusion.",
        "There are a few opacities.",
        "Prominent interstitial opacities.",
        "Significant effusion.",
        "The nodule was 8 mm.",
        "ETT 4 cm above the carina, nodule.",
    ],
)
def test_a_change_is_no_grade(sentence: str) -> None:
    assert [(m.severity, m.sizes_mm) for m in found(sentence)] == [("", ())]


@pytest.mark.parametrize(
    ("sentence", "severity"),
    [("No significant effusion.", "significant"), ("No gross effusion.", "gross"),
     ("No large effusion.", "large"), ("No significant change in the effusion.", "")],
)  # fmt: skip
def test_a_denial_keeps_what_it_denies(sentence: str, severity: str) -> None:
    assert [m.severity for m in found(sentence)] == [severity]


@pytest.mark.parametrize(
    ("sentence", "suggests"),
    [
        ("Opacity suspicious for pneumonia.", ["pneumonia"]),
        ("Blunting of the left costophrenic angle consistent with small effusion.",
         ["pleural effusion"]),
        ("Patchy right basilar opacity may represent atelectasis or pneumonia.",
         ["atelectasis", "pneumonia"]),
        ("Left basilar opacity, likely atelectasis, though pneumonia cannot be excluded.",
         ["atelectasis"]),
        ("Patchy shadowing at the right base in keeping with infection.", ["infection"]),
        ("Opacity in the left lower lobe worrisome for pneumonia, with small effusion.",
         ["pneumonia"]),
        ("Opacity consistent with pneumonia and small left effusion.", ["pneumonia"]),
        ("Left base opacity, atelectasis versus pneumonia.", ["atelectasis", "pneumonia"]),
        ("1.2 cm nodule in the RUL, suspicious for malignancy.", ["lung tumor"]),
        ("Increased interstitial markings are compatible with mild edema.", ["pulmonary edema"]),
        ("RLL consolidation, ?pneumonia", ["pneumonia"]),
        ("Hazy opacities, most likely edema, less likely atypical infection.",
         ["pulmonary edema", "infection"]),
        ("Opacity and small effusion suspicious for pneumonia.", ["pneumonia"]),
        ("No opacity to suggest pneumonia.", []),
        ("Small effusion and possible pneumonia.", []),
        ("The opacity is stable, and there is likely an effusion.", []),
    ],
)  # fmt: skip
def test_a_sign_suggests_what_it_is_said_to_point_to(sentence: str, suggests: list[str]) -> None:
    first, *others = found(sentence)
    assert list(first.suggests) == suggests
    assert not any(m.suggests for m in others)


@pytest.mark.parametrize(
    ("sentence", "finding", "label"),
    [
        ("Collapse of the T8 vertebral body.", "fracture", "Fracture"),
        ("Left lower lobe collapse.", "atelectasis", "Atelectasis"),
        ("The left lower lobe is collapsed.", "atelectasis", "Atelectasis"),
        ("Collapsed L1 vertebra.", "fracture", "Fracture"),
        ("Small pericardial effusion.", "pericardial effusion", ""),
        ("Knee joint effusion.", "joint effusion", ""),
        ("Soft tissue edema.", "soft tissue swelling", ""),
        ("Renal cyst.", "extrapulmonary lesion", "Other Lesion"),
        ("Mass in the left breast.", "extrapulmonary lesion", "Other Lesion"),
        ("Lytic lesion in the left humerus.", "bone lesion", "Other Lesion"),
        ("Mass effect on the trachea.", "abnormality", ""),
        ("Surgical emphysema.", "subcutaneous emphysema", ""),
        ("Thoracic kyphosis.", "kyphosis", ""),
        ("Splenomegaly.", "splenomegaly", ""),
        ("Atypical infection is possible.", "infection", ""),
        ("CHF.", "heart failure", "Edema"),
        ("GGO in both upper lobes.", "lung opacity", "Lung Opacity"),
        ("Air space shadowing.", "lung opacity", "Lung Opacity"),
        ("PNA.", "pneumonia", "Pneumonia"),
        ("Right haemothorax.", "hemothorax", "Pleural Effusion"),
        ("CTR is increased.", "cardiomegaly", "Cardiomegaly"),
        ("Right hilar LAD.", "lymphadenopathy", "Enlarged Cardiomediastinum"),
        ("Fracture of the pacemaker lead.", "abnormality", ""),
    ],
)
def test_a_name_means_what_its_neighbours_say(sentence: str, finding: str, label: str) -> None:
    (mention,) = found(sentence)
    assert (mention.finding, mention.label) == (finding, label)


def test_one_denial_of_two_effusions() -> None:
    denied = {(m.finding, m.assertion) for m in found("No pleural or pericardial effusion.")}
    assert denied == {("pleural effusion", "absent"), ("pericardial effusion", "absent")}


def test_homographs_mean_findings_that_exist() -> None:
    for row in lexicon.load("homographs"):
        assert row["means"] in {"", *terms.findings()}, row
        assert isinstance(labels_of(row["means"]), tuple)


def test_the_words_of_places_are_known() -> None:
    table = lexicon.load("places")
    assert set(table["measured"]) <= set(terms.findings()) | {"aneurysm"}
    assert set(lexicon.load("suggestions")["signs"]) <= set(terms.findings())


PIECES = st.sampled_from([
    "small", "moderate", "to", "right", "left", "bilateral", "R>L", "B/L", "RLL", "upper", "lower",
    "lobe", "base", "bases", "and", ",", ";", ":", "(", ")", "-", "none", "no", "but", "effusion",
    "opacity", "calcified", "nodule", "8 mm", "1.4 x 0.9 cm", "is", "has", "increased", "in the",
    "on the", "likely", "suspicious for", "pneumonia", "PICC", "heart", "enlarged", "clear", "of",
    "with", "or", "now", "greater than", "there is", "lingula", "both", "either", "L1", ".", "\n",
])  # fmt: skip


@given(st.lists(PIECES, max_size=14), st.booleans())
def test_any_phrase_is_read(pieces: list[str], blank: bool) -> None:
    text = (" " if blank else "").join(pieces)
    grades = {*lexicon.load("modifiers")["severity"], "significant", "gross"}
    for mention in mentions(text):
        assert mention.side in ("", "left", "right", "bilateral")
        assert set(filter(None, mention.severity.split(" to "))) <= grades
        assert all(size > 0 for size in mention.sizes_mm)
        assert len(set(mention.places)) == len(mention.places)
        assert set(mention.suggests) <= {m.finding for m in mentions(text)}
