"""Prompts: every text says what its label says, and the same arguments give the same texts."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR, from_mentions
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording.bank import own_bank
from cxr_vlp.nlp.wording.prompts import BANKS, products, report_prompts, texts, zero_shot
from cxr_vlp.nlp.wording.relations import deniable

EVERY = sorted({*CHEXPERT14, *CHESTXRAY14, *VINDR})
LABELS = sorted({*EVERY} - {"No Finding", "Support Devices"})
UNREAD = ("Other Lesion", "Other Disease")  # no finding of the lexicon counts for them
MEANS = {"positive": "abnormal", "negative": "normal", "uncertain": "uncertain"}
STATES = {"positive": 1, "negative": 0, "uncertain": -1}


@pytest.mark.parametrize("label", EVERY)
@pytest.mark.parametrize("polarity", MEANS)
def test_there_are_many_wordings_of_every_label(label: str, polarity: str) -> None:
    found = texts(label, polarity)
    floor = 60 if label in {*CHEXPERT14, *CHESTXRAY14} else 40
    assert len(set(found)) == len(found) >= floor
    assert all(len(split(text)) == 1 for text in found)


def test_a_normal_chest_has_a_hundred_wordings() -> None:
    assert len(texts("No Finding", "positive")) >= 100


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("polarity", MEANS)
def test_the_engine_reads_every_prompt_as_its_label(label: str, polarity: str) -> None:
    for text in texts(label, polarity):
        read = classify(text)
        assert read.status == MEANS[polarity], text
        if label not in UNREAD:
            assert from_mentions(read.mentions)[label] == STATES[polarity], text


@pytest.mark.parametrize("polarity", MEANS)
def test_the_engine_reads_every_prompt_of_devices(polarity: str) -> None:
    for text in texts("Support Devices", polarity):
        read = from_mentions(classify(text).mentions)
        assert read["Support Devices"] == STATES[polarity], text
        assert read["No Finding"] == 1, text


@pytest.mark.parametrize("polarity", MEANS)
def test_the_engine_reads_every_prompt_of_no_finding(polarity: str) -> None:
    wanted = {"positive": "normal", "negative": "abnormal", "uncertain": "uncertain"}[polarity]
    for text in texts("No Finding", polarity):
        assert classify(text).status == wanted, text


def faults(text: str, plurals: frozenset[str]) -> list[str]:
    """What is wrong with the English of a prompt."""
    found = re.findall(r"\b(\w+) \1\b", text)
    found += re.findall(r"\ba (?=[aeio]|u(?!ni))\w+|\ban (?![aeiou8])\w+", text)
    found += re.findall(r"\b(?:no|possible|suspected|negative for) an? .*", text.lower())
    words = text.lower().rstrip(".")
    for name in plurals:
        if re.search(rf"\b{name} is\b|\bis (?:no )?{name}\b|\ban? {name}\b", words):
            found.append(name)
    if re.search(r"\b(?:are|There are) ", text) and not any(n.lower() in words for n in plurals):
        found.append("are with a singular")
    if not re.fullmatch(r"[A-Z].*[a-zA-Z]\.", text) or "  " in text or set(text) & set("[]{}|"):
        found.append("marks")
    return found


@pytest.mark.parametrize("label", sorted({*EVERY, *own_bank().names} - {"No Finding"}))
def test_every_prompt_is_good_english(label: str) -> None:
    plurals = own_bank().plurals
    for polarity in MEANS:
        assert {text: f for text in texts(label, polarity) if (f := faults(text, plurals))} == {}


BAD = ["No support devices is seen.", "There is an lung nodule.", "No a fracture.", "No [a|b]."]


@pytest.mark.parametrize("text", BAD)
def test_the_check_of_english_finds_faults(text: str) -> None:
    assert faults(text, own_bank().plurals)


def test_names_in_plurals_exist() -> None:
    assert own_bank().plurals <= {name for names in own_bank().names.values() for name in names}


ROWS = st.dictionaries(st.sampled_from(CHEXPERT14), st.sampled_from([1, 0, -1]), max_size=8)


@given(ROWS, st.integers(0, 99), st.text(max_size=8))
def test_report_prompts_are_seeded_and_never_empty(
    row: dict[str, int], seed: int, key: str
) -> None:
    first = report_prompts(row, k=3, seed=seed, epoch=1, key=key)
    assert first == report_prompts(dict(reversed(row.items())), k=3, seed=seed, epoch=1, key=key)
    assert len(first) in (0, 3)
    assert all(text.strip() for text in first)


def test_report_prompts_say_the_labels_and_only_them() -> None:
    row = {"Edema": 1, "Pneumonia": -1, "Fracture": 0, "Atelectasis": 0}
    for text in report_prompts(row, k=20, seed=7, epoch=0, key="a", negatives=2):
        said = from_mentions(m for s in split(text) for m in classify(s.text).mentions)
        assert {n: said[n] for n in ("Edema", "Fracture", "Atelectasis")} == {
            "Edema": 1, "Fracture": 0, "Atelectasis": 0,
        }  # fmt: skip
        assert len(split(text)) == 4


PAIRS = list(itertools.permutations(sorted({*EVERY} - {"No Finding"}), 2))


@pytest.mark.parametrize("polarity", [1, -1])
def test_what_is_denied_shares_no_word_with_what_is_said(polarity: int) -> None:
    shared = lexicon.words("statements", "shared_words") | lexicon.words(
        "statements", "small_words"
    )
    frames = {w.strip(".") for rows in own_bank().frames.values() for f in rows for w in f.split()}
    frames |= {w.lower() for w in frames} | {"are", "is"}
    for says, denies in PAIRS:
        for text in report_prompts({says: polarity, denies: 0}, k=3, seed=0, epoch=0, key=""):
            parts = [s.text for s in split(text)]
            words = [{t.word for t in tokenize(p)} - shared - frames - {"."} for p in parts]
            assert len(parts) == 1 or not words[0] & words[1], text


def test_each_label_is_denied_beside_each_that_does_not_hold_it() -> None:
    for says, denies in PAIRS:
        row = {says: 1, denies: 0}
        for text in report_prompts(row, k=4, seed=1, epoch=0, key=""):
            assert len(split(text)) == 1 + len(deniable(row)), text


@pytest.mark.parametrize(
    ("label", "detail", "wanted"),
    [
        ("Pleural Effusion", ("left", "small"), "There is a small left pleural effusion."),
        ("Pleural Effusion", ("bilateral", ""), "There are bilateral pleural effusions."),
        ("Pneumothorax", ("right", "mild"), "There is a small right pneumothorax."),
        ("Cardiomegaly", ("left", "large"), "There is severe cardiomegaly."),
        ("Edema", ("", "moderate"), "There is moderate pulmonary edema."),
        ("Infiltration", ("bilateral", ""), "There are bilateral pulmonary infiltrates."),
    ],
)
def test_side_and_severity_are_said_where_they_are_known(
    label: str, detail: tuple[str, str], wanted: str
) -> None:
    assert wanted in texts(label, "positive", detail=detail)
    assert texts(label, "negative", detail=detail) == texts(label, "negative")
    row = {label: 1}
    made = report_prompts(row, k=20, seed=0, epoch=0, key="", details={label: detail})
    assert set(made) <= set(texts(label, "positive", detail=detail))


@pytest.mark.parametrize("label", sorted({*LABELS} - {*UNREAD}))
@pytest.mark.parametrize("polarity", ["positive", "uncertain"])
def test_side_and_severity_are_read_back(label: str, polarity: str) -> None:
    plain = set(texts(label, polarity))
    for detail in (("left", ""), ("right", "moderate"), ("bilateral", "")):
        for text in set(texts(label, polarity, detail=detail)) - plain:
            read = [m for m in classify(text).mentions if not m.implied]
            assert from_mentions(read)[label] == STATES[polarity], text
            assert read[0].severity == detail[1], text
            assert read[0].side == (detail[0] if detail[0] in text.lower() else ""), text


def test_epoch_seed_and_key_change_the_draw() -> None:
    row = {"Edema": 1, "Mass": 1}
    base = {"k": 4, "seed": 1, "epoch": 0, "key": "a"}
    draws = {report_prompts(row, **(base | change)) for change in (  # type: ignore[arg-type]
        {}, {"seed": 2}, {"epoch": 1}, {"key": "b"},
    )}  # fmt: skip
    assert len(draws) == 4


def test_zero_shot_banks() -> None:
    assert zero_shot("Pleural Effusion") == (("pleural effusion",), ("no pleural effusion",))
    assert zero_shot("Edema", "there_is") == (("There is edema",), ("There is no edema",))
    assert zero_shot("Edema", "direct") == (("There is edema",), ())
    there = (("There are support devices",), ("There are no support devices",))
    assert zero_shot("Support Devices", "there_is") == there
    assert zero_shot("COPD", "pair") == (("COPD",), ("no COPD",))
    assert zero_shot("No Finding", "direct") == (("There is no finding",), ())
    assert len(zero_shot("Atelectasis", "products")[0]) > 100
    assert zero_shot("Hernia", "products") == zero_shot("Hernia", "there_is")
    for bank in BANKS:
        positive, negative = zero_shot("Anything New", bank)
        assert positive
        assert all((*positive, *negative))
        assert bool(negative) == (bank != "direct")
    with pytest.raises(ValueError, match="prompt bank"):
        zero_shot("Edema", "mine")


@pytest.mark.parametrize("label", own_bank().products)
def test_products_are_all_different_and_abnormal(label: str) -> None:
    rows = products(label)
    assert len(set(rows)) == len(rows)
    assert {classify(row).status for row in rows} == {"abnormal"}


def test_a_users_bank(tmp_path: Path) -> None:
    path = tmp_path / "bank.yaml"
    path.write_text(
        "frames: {positive: ['{x}!'], negative: ['No {x}!'], uncertain: ['{x}?']}\n"
        "names: {Edema: [wet lungs]}\n"
        "no_finding: {positive: [fine], negative: [bad], uncertain: [maybe]}\n"
    )
    bank = own_bank(str(path))
    assert texts("Edema", "positive", bank) == ("Wet lungs!",)
    assert zero_shot("Edema", "frames", bank) == (("Wet lungs!",), ("No wet lungs!",))
    assert zero_shot("Atelectasis", "products", bank)[0] == ("There is atelectasis",)
    assert report_prompts(
        {"No Finding": 1}, k=1, seed=0, epoch=0, key="", negatives=0, prompts=bank
    ) == ("fine",)
    older = tmp_path / "older.yaml"
    older.write_text(
        "frames: {positive: ['There is {x}.', '{x} is seen.'], negative: ['No {x}.'],"
        " uncertain: ['Possible {x}.']}\n"
        "names: {Nodule: [a nodule]}\n"
        "no_finding: {positive: [fine], negative: [bad], uncertain: [maybe]}\n"
    )
    as_before = own_bank(str(older))
    assert texts("Nodule", "positive", as_before) == ("There is a nodule.", "Nodule is seen.")
    assert texts("Nodule", "negative", as_before) == ("No nodule.",)
    broken = tmp_path / "broken.yaml"
    broken.write_text("frames: {}\n")
    with pytest.raises(ValueError, match="names"):
        own_bank(str(broken))
