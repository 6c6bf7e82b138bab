"""Slips of the pen, short forms, names of another meaning, and templates on one line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.match.tokens import plain, tokenize
from cxr_vlp.nlp.match.words import singular

ROWS = [
    line.split("\t")
    for line in Path(__file__).with_name("slips.tsv").read_text(encoding="utf-8").splitlines()[1:]
]
STATUSES = ("abnormal", "uncertain", "normal", "nonfinding")  # the first of a report is its own
NAMES = [
    "effusion",
    "pneumothorax",
    "consolidation",
    "atelectasis",
    "pneumonia",
    "cardiomegaly",
    "infiltrate",
    "emphysema",
    "hyperinflation",
    "interstitial",
    "mediastinal",
    "congestion",
    "granuloma",
    "costophrenic",
    "hemidiaphragm",
]
# one edit from two words: emphysema and empyema; hyper- and hypoinflation; -tion and -ting
UNSURE = {"empysema", "emphyema", "hypeinflation", "hyprinflation", "consolidatino"}


@pytest.mark.parametrize(("text", "status", "mentions"), ROWS, ids=[row[0] for row in ROWS])
def test_slips_and_short_forms(text: str, status: str, mentions: str) -> None:
    found = annotate(text).sentences
    assert next(s for s in STATUSES if s in {x.status for x in found}) == status
    said = [(m.finding, m.assertion, m.side) for x in found for m in x.mentions]
    for wanted in filter(None, mentions.split("; ")):
        *words, last = wanted.split()
        side = last if last in ("left", "right", "bilateral") else ""
        name, state = (words[:-1], words[-1]) if side else (words, last)
        assert any(m[:2] == (" ".join(name), state) and (not side or m[2] == side) for m in said), (
            said
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_letter_lost_inside_a_name_is_read(name: str) -> None:
    slips = {name[:i] + name[i + 1 :] for i in range(2, len(name) - 3)}
    assert {plain(slip) for slip in slips - UNSURE} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_two_letters_in_the_wrong_order_are_read(name: str) -> None:
    slips = {name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(1, len(name) - 1)}
    assert {plain(slip) for slip in slips - UNSURE} == {name}


def test_a_slip_of_two_words_stays() -> None:
    assert {plain(slip) for slip in UNSURE} == UNSURE


@pytest.mark.parametrize(
    "word",
    ["confusion", "injection", "retained", "displayed", "enlarge", "stricture", "lingual",
     "caliper", "asymmetrical", "tapping", "deceased", "hepatoma", "genetic", "prevented",
     "swallow"],
)  # fmt: skip
def test_a_word_of_its_own_is_no_slip(word: str) -> None:
    assert plain(word) == word


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", max_size=14))
def test_a_word_is_only_ever_read_as_a_word_of_the_lexicon(word: str) -> None:
    assert plain(word) in (singular(word), *map(singular, lexicon.vocabulary()))


def test_tokens_of_slips_and_short_forms_keep_their_places() -> None:
    text = "Pulm. edema w/o consolidaton."
    assert [text[t.start : t.end] for t in tokenize(text)] == [
        "Pulm", "edema", "w/o", "consolidaton", ".",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Small effs. No ptx.", ["Small effs.", "No ptx."]),
        ("Larger than approx. 3 wks. ago.", ["Larger than approx. 3 wks. ago."]),
        ("RLL asp. PNA. NG in place.", ["RLL asp. PNA.", "NG in place."]),
        ("PULM. EDEMA. SM. EFFS.", ["PULM. EDEMA.", "SM. EFFS."]),
        (
            "HEART: BIG LUNGS: NO NODULE PLEURA: SMALL LEFT EFFUSION",
            ["HEART: BIG", "LUNGS: NO NODULE", "PLEURA: SMALL LEFT EFFUSION"],
        ),
        (
            "Effusion: no Pneumothorax: no Edema: mild",
            ["Effusion: no", "Pneumothorax: no", "Edema: mild"],
        ),
        ("LUNGS: NODULE IN THE LEFT LUNG: NEW", ["LUNGS: NODULE IN THE LEFT LUNG: NEW"]),
        ("One thing: in the Left lung: a nodule", ["One thing: in the Left lung: a nodule"]),
    ],
)
def test_labels_and_short_forms_in_sentences(text: str, parts: list[str]) -> None:
    assert [sentence.text for sentence in split(text)] == parts


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Finding | Yes | No\nMass | | x\nEdema | x |", {"Mass: no", "Edema: yes"}),
        ("\tPresent\tAbsent\nMass\t\tX\nEdema\tX\t", {"Mass: absent", "Edema: present"}),
        ("| |Yes|No|Possible|\n|---|---|---|---|\n|Mass| | |✓|", {"Mass: possible"}),
        ("Item | Normal | Abnormal | Comment\nHeart | | X | large", {"Heart: abnormal, large"}),
        ("Finding | Yes | No\nMass | | \nEdema | x |", {"Edema: yes"}),
    ],
)
def test_tables_of_answers(table: str, said: set[str]) -> None:
    assert {s.text for s in annotate(f"FINDINGS:\n{table}\n").sentences} == said


def test_no_text_with_colons_and_bars_raises() -> None:
    rng = random.Random(3)
    pieces = [
        "HEART",
        "LUNGS",
        "no",
        ":",
        " ",
        "|",
        "\n",
        "\t",
        "Yes",
        "No",
        "x",
        "w/",
        "pulm.",
        "[",
    ]
    for _ in range(300):
        annotate("".join(rng.choice(pieces) for _ in range(rng.randrange(30))))
