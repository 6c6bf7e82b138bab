"""Text policies: what an image is paired with, and what happens where the text is missing."""

from __future__ import annotations

import pytest

from cxr_vlp.nlp.annotate import filter_report
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording.prompts import texts as wordings
from cxr_vlp.train.config.recipe import TextConfig
from cxr_vlp.train.data import texts
from cxr_vlp.train.data.normality import filtered, is_normal
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.errors import ConfigError
from tests.train.conftest import read, sample


def chosen(policies, record, key="k", epoch=0):
    rng = generator(0, epoch, key, "text")
    recipe = TextConfig(policies=tuple(policies))
    [text] = texts.drawn(recipe, read(record), [rng], "the caption.")
    return text


RECORD = sample("mock", 1)
STATEMENTS = ["There is no edema.", "There is a nodule.", "There may be pneumonia."]
UNLIKELY = "An effusion is unlikely."
EVERY = "sentence 0. sentence 1. sentence 3. sentence 4."
STATUSES = ("normal", "abnormal", "nonfinding", "uncertain", "normal")
MIXED = {
    "sentences": [{"text": f"sentence {i}.", "status": status} for i, status in enumerate(STATUSES)]
}

TUBE = {"text": "a tube.", "status": "nonfinding", "rule": "device.named"}
TECHNIQUE = {"text": "a lordotic film.", "status": "nonfinding", "rule": "talk.technique"}
CLEAR = {"text": "clear.", "status": "normal", "rule": "structure.normal", "prior_free": "clear."}
GROWN = {"text": "effusion is larger.", "status": "abnormal", "prior_free": "an effusion."}
UNCHANGED = {"text": "no new edema.", "status": "normal", "prior_free": ""}
EDEMA = {"text": "edema.", "status": "abnormal", "rule": "finding.present"}


@pytest.mark.parametrize(
    ("policies", "changes", "expected"),
    [
        (["impression"], {}, "cardiomegaly."),
        (["findings"], {}, "the film shows cardiomegaly."),
        (["caption"], {}, "cardiomegaly."),
        (["abnormal"], {}, "cardiomegaly."),
        (["longest"], {}, "the film shows cardiomegaly."),
        (["longest"], {"findings": ""}, "cardiomegaly."),
        (["impression", "findings"], {"impression": ""}, "the film shows cardiomegaly."),
        (["impression", "findings"], {"impression": " ", "findings": ""}, "the caption."),
        (["impression"], {"impression": None}, "the caption."),
        (["prompt"], {"prompts": []}, "one prompt."),
        (["statement"], {"statements": ["There is edema."]}, "There is edema."),
        (["statement"], {"statements": []}, "the caption."),
        (["prompt_sentences(1)"], {"prompts": ["Edema."]}, "Edema."),
        (["prompt_sentences(2)"], {"prompts": ["A. B."]}, "A. B."),
        (["prompt"], {"prompts": ["", "only."]}, "only."),
        (["prompt"], {"prompts": [], "prompt": ""}, "the caption."),
        (["sentences(9)"], {}, EVERY),
        (["sentences(2)"], {"sentences": []}, "the caption."),
        (["report"], {}, "the film shows cardiomegaly. cardiomegaly."),
        (["report"], {"findings": ""}, "cardiomegaly."),
        (["statements(9)"], {"statements": STATEMENTS}, " ".join(STATEMENTS)),
        (["prior_free"], {"prior_free": "There is an effusion."}, "There is an effusion."),
        (["prior_free"], {"prior_free": ""}, "the caption."),
        (
            ["prior_free_sentences(9)"],
            {"sentences": [GROWN, CLEAR, UNCHANGED]},
            "an effusion. clear.",
        ),
        (["prior_free_sentences(1)"], {"sentences": [UNCHANGED, GROWN]}, "an effusion."),
        (["prior_free_sentences(9)"], {"sentences": [UNCHANGED]}, "the caption."),
        (["filtered(9)"], {}, EVERY),
        (["filtered(9)"], MIXED, "sentence 1. sentence 3."),
        (["filtered(9)"], {"sentences": []}, "the caption."),
        # a device is no finding, but it is visible in the image
        (["sentences(9)"], {"sentences": [TUBE, TECHNIQUE, CLEAR]}, "a tube. clear."),
        (["filtered(9)"], {"sentences": [TUBE, TECHNIQUE, CLEAR]}, "clear."),
        (["filtered(9)"], {"sentences": [TUBE, TECHNIQUE]}, "a tube."),
        (["filtered(9)"], {"sentences": [TUBE, TECHNIQUE, CLEAR, EDEMA]}, "a tube. edema."),
        (["filtered_statements(9)"], MIXED | {"statements": STATEMENTS}, " ".join(STATEMENTS[1:])),
        (["filtered_statements(9)"], {"statements": STATEMENTS}, STATEMENTS[0]),
        (["filtered_statements(9)"], {"statements": STATEMENTS[1:]}, "the caption."),
        (
            ["filtered_statements(9)"],
            MIXED | {"statements": [*STATEMENTS[1:], UNLIKELY]},
            " ".join(STATEMENTS[1:]),
        ),
        (["filtered_labels"], {"labels": {}}, "the caption."),
        (["filtered_labels"], {"labels": {"Edema": 0, "No Finding": 0}}, "the caption."),
        (["labels"], {"labels": {}}, "the caption."),
    ],
)
def test_policy(policies, changes, expected):
    assert chosen(policies, RECORD | changes) == expected


def test_sentences_are_few_in_order_and_about_the_image():
    drawn = {chosen(["sentences(2)"], RECORD, f"k{i}") for i in range(60)}
    assert len(drawn) == 6  # two of the four that describe the image
    for text in drawn:
        numbers = [int(part) for part in text.replace("sentence", "").replace(".", "").split()]
        assert numbers == sorted(numbers)
        assert 2 not in numbers


def test_prompts_differ_by_key_and_by_epoch_and_repeat():
    by_key = [chosen(["prompt"], RECORD, f"k{i}") for i in range(30)]
    assert set(by_key) == set(RECORD["prompts"])
    assert len({chosen(["prompt"], RECORD, epoch=epoch) for epoch in range(30)}) == 3
    assert by_key == [chosen(["prompt"], RECORD, f"k{i}") for i in range(30)]


def test_either_draws_among_its_policies_and_falls_through_where_one_is_empty():
    drawn = {chosen(["impression | findings"], RECORD, f"k{i}") for i in range(30)}
    assert drawn == {RECORD["impression"], RECORD["findings"]}
    bare = RECORD | {"findings": ""}
    assert {chosen(["impression|findings"], bare, f"k{i}") for i in range(30)} == {
        RECORD["impression"],
        "the caption.",
    }


@pytest.mark.parametrize(
    "name",
    ["impresion", "impression|", "sentences", "sentences(0)", "sentences(all)", "longest(2)"],
)
def test_an_unknown_policy_fails_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"unknown .*impression.*sentences\(k\)"):
        texts.policies(TextConfig(policies=(name,)))


def test_any_number_of_sentences_means_from_one_to_all():
    drawn = {chosen(["sentences(any)"], RECORD, f"k{i}").count("sentence") for i in range(60)}
    assert drawn == {1, 2, 3, 4}


def test_uncertain_sentences_are_filtered_as_the_recipe_says():
    record = RECORD | MIXED
    for uncertain, expected in (("abnormal", "sentence 1. sentence 3."), ("normal", "sentence 1.")):
        recipe = TextConfig(policies=("filtered(9)",), uncertain=uncertain)
        rng = generator(0, 0, "k", "text")
        assert texts.drawn(recipe, read(record), [rng], "") == (expected,)


def test_label_prompts_are_worded_anew_and_filtered_ones_deny_nothing():
    row = {"Edema": 1, "Pneumothorax": 0, "Fracture": 0, "No Finding": 0}
    drawn = {chosen(["labels"], {"labels": row}, f"k{i}") for i in range(40)}
    assert len(drawn) > 20
    filtered = {chosen(["filtered_labels"], {"labels": row}, f"k{i}") for i in range(40)}
    assert filtered <= set(wordings("Edema", "positive"))
    assert len(filtered) > 3
    normal = row | {"Edema": 0, "No Finding": 1}
    clear = {chosen(["filtered_labels"], {"labels": normal}, f"k{i}") for i in range(40)}
    assert clear <= set(wordings("No Finding", "positive"))


SECTIONS = {
    "findings": "f.",
    "impression": "i.",
    "translations": {"findings": "F.", "impression": "I."},
}
CXRCLIP = ("findings|impression", "impression", "findings")


def two(record, translated, key):
    recipe = TextConfig(policies=CXRCLIP, count=2, translated=translated)
    rngs = [generator(0, 0, key, "text"), generator(0, 0, key, "text 1")]
    return texts.drawn(recipe, read(record), rngs, "caption")


def test_two_texts_are_two_draws_in_either_wording():
    pairs = {two(SECTIONS, 0.5, f"k{i}") for i in range(200)}
    assert pairs == {(f"{a}.", f"{b}.") for a in "fiFI" for b in "fiFI" if a != b}


def test_a_report_of_one_section_is_paired_with_its_translation():
    one = SECTIONS | {"impression": "", "translations": {"findings": "F.", "impression": ""}}
    assert {two(one, 0.5, f"k{i}") for i in range(60)} == {("f.", "F."), ("F.", "f.")}


def test_without_translations_or_their_probability_the_report_is_unchanged():
    plain = {"findings": "f.", "impression": "i."}
    for record, translated in ((SECTIONS, 0.0), (plain, 0.5)):
        found = {two(record, translated, f"k{i}") for i in range(60)}
        assert found == {(a, b) for a in ("f.", "i.") for b in ("f.", "i.")}


LABELS = {"Edema": 0, "Support Devices": 1, "No Finding": 1}


@pytest.mark.parametrize(
    ("record", "uncertain", "expected"),
    [
        ({"sentences": [{"status": "normal"}, {"status": "nonfinding"}]}, "abnormal", True),
        ({"sentences": [{"status": "normal"}, {"status": "abnormal"}]}, "normal", False),
        ({"sentences": [{"status": "normal"}, {"status": "uncertain"}]}, "abnormal", False),
        ({"sentences": [{"status": "normal"}, {"status": "uncertain"}]}, "normal", True),
        # a report that says nothing of the image leaves it to the labels
        ({"sentences": [{"status": "nonfinding"}], "labels": LABELS}, "abnormal", True),
        ({"labels": LABELS}, "abnormal", True),
        ({"labels": LABELS | {"Edema": -1}}, "abnormal", False),
        ({"labels": LABELS | {"Edema": -1}}, "normal", True),
        ({"labels": {"Edema": 0}}, "abnormal", False),
        ({}, "abnormal", False),
    ],
)
def test_a_pair_is_normal_by_its_report_else_by_its_labels(record, uncertain, expected):
    assert is_normal(read(record), uncertain) is expected


@pytest.mark.parametrize(
    "extra",
    [
        "",
        " Small left pleural effusion.",
        " Possible nodule.",
        " Hyperinflated but clear lungs.",
        " Mild cardiomegaly without edema. No pneumothorax, but small effusion.",
    ],
)
def test_a_filtered_report_is_what_the_engine_itself_keeps(extra):
    said = "The endotracheal tube is in standard position. The lungs are clear. No pneumothorax."
    sentences = [each.text for each in split(said + extra + " Portable film.")]
    rows = [
        {"text": text, "status": status.status, "rule": status.rule}
        for text, status in ((text, classify(text)) for text in sentences)
    ]
    assert filtered(read({"sentences": rows})) == list(
        filter_report(said + extra + " Portable film.").kept
    )


def test_of_a_mixed_sentence_the_abnormal_part_is_kept():
    mixed = {"text": "Hyperinflated but clear lungs.", "status": "abnormal"}
    by_rules = read({"sentences": [mixed | {"rule": "finding.present"}]})
    assert filtered(by_rules) == ["Hyperinflated."]
    by_model = read({"sentences": [mixed | {"rule": "model.present"}]})
    assert filtered(by_model) == [mixed["text"]]  # the rules cannot judge its clauses
