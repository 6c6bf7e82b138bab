"""The texts of a label: whole texts, templates, banks, and CARZero's plain words."""

from __future__ import annotations

import pytest

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols.protocol import load
from cxr_vlp.train.evaluation.zeroshot.texts import of_labels, of_no_finding, plain


def said(protocol, label: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    (found,) = of_labels([label], protocol)
    return found.positive, found.negative


def test_chexzeros_two_texts_are_spelled_as_the_label_is():
    made = load("chexzero")
    assert said(made, "Lung Lesion") == (("Lung Lesion",), ("no Lung Lesion",))
    assert said(made, "No Finding") == (("No Finding",), ("no No Finding",))


def test_cxrclip_spells_vindrs_labels_and_takes_biovils_texts_for_rsna():
    made = load("cxrclip")
    assert said(made.in_collection("vindr"), "Fibrosis") == (
        ("Pulmonary fibrosis",), ("No Pulmonary fibrosis",),
    )  # fmt: skip
    assert said(made.in_collection("rsna"), "Pneumonia") == (
        ("Findings suggesting pneumonia.",), ("No evidence of pneumonia",),
    )  # fmt: skip
    assert said(made.in_collection("siim"), "Pneumothorax")[1] == ("No Pneumothorax",)


def test_carzero_has_one_text_in_plain_words():
    made = load("carzero")
    assert said(made, "Nodule/Mass") == (("there is nodule mass",), ())
    assert said(made.in_collection("nih"), "Nodule")[0] == ("there is lung nodule",)
    assert said(made.in_collection("chestxdet10"), "Fracture")[0] == ("there is bone fracture",)


def test_offclip_asks_for_no_finding_like_any_label():
    assert said(load("offclip"), "No Finding") == (("there is no finding",), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("There is nodule/mass.", "there is nodule mass"), ("é Edema", "e edema")],
)
def test_plain_words(text, expected):
    assert plain(text) == expected.replace("e edema", " edema")


def test_templates_keep_abbreviations_in_lower_case():
    made = load("ours", {"prompts": {"positive": ["signs of {}"]}})
    assert said(made, "ILD")[0] == ("signs of ILD",)
    assert said(made, "Pleural Effusion")[0] == ("signs of pleural effusion",)


def test_no_finding_is_asked_directly_and_by_a_pair_that_denies():
    for name in ("ours", "carzero", "offclip"):
        found = of_no_finding(load(name))
        assert found["direct"].positive[0].lower() == "there is no finding"
        assert found["direct"].negative == ()
        assert found["pair"].negative  # of ours, where the protocol has none
        assert found["pair"].score == "pair"
    assert of_no_finding(load("carzero"))["direct"].score == "positive"


def test_a_bank_file_that_is_not_there_is_named():
    made = load("ours", {"prompts": {"file": "nowhere.yaml"}})
    with pytest.raises(ConfigError, match="no file at nowhere"):
        of_labels(["Edema"], made)
