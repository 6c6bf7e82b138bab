"""Prompts: every text says what its label says, and the same arguments give the same texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR, from_mentions
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording import prompts
from cxr_vlp.nlp.wording.prompts import BANKS, own_bank, products, report_prompts, texts, zero_shot

LABELS = sorted({*CHEXPERT14, *CHESTXRAY14, *VINDR} - {"No Finding", "Support Devices"})
MEANS = {"positive": "abnormal", "negative": "normal", "uncertain": "uncertain"}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("polarity", MEANS)
def test_the_engine_reads_every_prompt_with_its_polarity(label: str, polarity: str) -> None:
    prompts_of = texts(label, polarity)
    assert len(set(prompts_of)) == len(prompts_of) >= 8
    for text in prompts_of:
        assert classify(text).status == MEANS[polarity], text
        assert "  " not in text
        assert text.endswith(".")


def test_no_finding_prompts_are_normal() -> None:
    assert {classify(t).status for t in texts("No Finding", "positive")} == {"normal"}
    assert {classify(t).status for t in texts("No Finding", "negative")} == {"abnormal"}


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
    bank = prompts.own_bank(str(path))
    assert texts("Edema", "positive", bank) == ("Wet lungs!",)
    assert zero_shot("Edema", "frames", bank) == (("Wet lungs!",), ("No wet lungs!",))
    assert zero_shot("Atelectasis", "products", bank)[0] == ("There is atelectasis",)
    assert report_prompts(
        {"No Finding": 1}, k=1, seed=0, epoch=0, key="", negatives=0, prompts=bank
    ) == ("fine",)
    broken = tmp_path / "broken.yaml"
    broken.write_text("frames: {}\n")
    with pytest.raises(ValueError, match="names"):
        prompts.own_bank(str(broken))
