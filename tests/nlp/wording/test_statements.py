"""Statements: mentions re-said in one standard form, and read back as the same."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from cxr_vlp.nlp.context.certainty import ASSERTION_OF, CERTAINTIES
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.wording.grammar import fitted, plural, with_article
from cxr_vlp.nlp.wording.statements import Content, content_of, noun_of, restate, statement, written
from tests.nlp.wording.english import faults

EFFUSION, NODULE, EDEMA = "pleural effusion", "lung nodule", "pulmonary edema"
ETT, PICC, TUBES = "endotracheal tube", "picc", "chest tube"


def said(finding: str, certainty: Any = "definite", **fields: Any) -> str:
    mention = Mention(finding, "", ASSERTION_OF[certainty], 0, 0, certainty=certainty, **fields)
    return statement(mention)


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Small left pleural effusion.", "There is a small left pleural effusion."),
        ("No pneumothorax.", "There is no pneumothorax."),
        (
            "Possible pneumonia in the right lower lobe.",
            "There may be pneumonia in the right lower lobe.",
        ),
        ("Bilateral pleural effusions.", "There are bilateral pleural effusions."),
        ("Bibasilar atelectasis.", "There is atelectasis at both lung bases."),
        ("No large effusion.", "There is no large pleural effusion."),
        ("Heart size is normal.", "There is no cardiomegaly."),
        ("Degenerative changes of the spine.", "There are degenerative changes of the spine."),
    ],
)
def test_standard_form(sentence: str, wanted: str) -> None:
    assert restate(mentions(sentence)) == (wanted,)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # how certain it is
        (said(EDEMA), "There is pulmonary edema."),
        (said(EDEMA, "probable"), "There is probably pulmonary edema."),
        (said(EFFUSION, "probable"), "There is probably a pleural effusion."),
        (said(EFFUSION, "possible", side="left"), "There may be a left pleural effusion."),
        (said(EDEMA, "unlikely"), "Pulmonary edema is unlikely."),
        (said(EFFUSION, "unlikely", side="right"), "A right pleural effusion is unlikely."),
        (said(EFFUSION, "unlikely", side="bilateral"), "Bilateral pleural effusions are unlikely."),
        (said(EFFUSION, "absent", side="left"), "There is no left pleural effusion."),
        # where it is
        (said(NODULE, places=("right upper lobe",), side="right"),
         "There is a lung nodule in the right upper lobe."),
        (said("lung opacity", places=("left base", "right base"), side="bilateral"),
         "There are lung opacities at both lung bases."),
        (said("lung opacity", places=("right upper lobe", "left lower lobe"), side="bilateral"),
         "There are lung opacities in the right upper lobe and the left lower lobe."),
        (said("lung opacity", places=("right upper lobe", "left base"), side="bilateral"),
         "There are lung opacities in the right upper lobe and at the left lung base."),
        (said("atelectasis", places=("lingula",), side="left"),
         "There is atelectasis in the lingula."),
        (said("consolidation", places=("retrocardiac",)),
         "There is consolidation in the retrocardiac region."),
        (said("pneumothorax", places=("left apex",), side="left", severity="small"),
         "There is a small pneumothorax at the left lung apex."),
        (said("lung opacity", places=("left perihilar", "right perihilar"), side="bilateral"),
         "There are lung opacities in both perihilar regions."),
        (said("costophrenic blunting", places=("left costophrenic angle",), side="left"),
         "There is left costophrenic blunting."),
        # how large it is
        (said(NODULE, sizes_mm=(8.0,), places=("right upper lobe",), side="right"),
         "There is an 8 mm lung nodule in the right upper lobe."),
        (said("lung mass", sizes_mm=(14.0, 9.5), side="left"),
         "There is a left lung mass measuring 14 x 9.5 mm."),
        (said(NODULE, "absent", severity="large"), "There is no large lung nodule."),
        (said(EFFUSION, severity="moderate to large", side="left"),
         "There is a moderate to large left pleural effusion."),
        (said("cardiomegaly", severity="mild to moderate"),
         "There is mild to moderate cardiomegaly."),
        (said("cardiomegaly", severity="large"), "There is severe cardiomegaly."),
        (said("cardiomegaly", severity="small to moderate", side="left"),
         "There is mild to moderate cardiomegaly."),
        # a change is not said
        (said(EFFUSION, change="worse", change_words="increased"), "There is a pleural effusion."),
        # devices
        (said(PICC, device=True, side="right", tip="svc", position="adequate"),
         "There is a right PICC with its tip in the SVC."),
        (said(ETT, device=True, tip="right main bronchus", position="malpositioned"),
         "There is a malpositioned endotracheal tube with its tip in the right main bronchus."),
        (said(ETT, device=True, position="adequate"),
         "There is an endotracheal tube in good position."),
        (said(ETT, device=True, tip="above the carina", position="adequate"),
         "There is an endotracheal tube in good position with its tip above the carina."),
        (said("enteric tube", device=True, tip="below the diaphragm"),
         "There is an enteric tube with its tip below the diaphragm."),
        (said("sternal wires", device=True), "There are sternal wires."),
        (said("spinal hardware", device=True), "There is spinal hardware."),
        (said(TUBES, device=True, side="bilateral"), "There are bilateral chest tubes."),
        (said(TUBES, "absent", device=True, side="left", position="removed"),
         "There is no left chest tube."),
        (said(ETT, "possible", device=True), "There may be an endotracheal tube."),
        (said("ecmo cannula", device=True), "There is an ECMO cannula."),
        (said("other device", device=True), "There is a support device."),
    ],
)  # fmt: skip
def test_what_a_mention_says(text: str, wanted: str) -> None:
    assert text == wanted
    assert faults(text) == []


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("There is a 5 to 6 mm nodule.", "There is a lung nodule measuring 5 to 6 mm."),
        ("A 5 x 6 mm nodule.", "There is a lung nodule measuring 5 x 6 mm."),
        ("Nodules of 5 mm and 6 mm.", "There are lung nodules measuring 5 and 6 mm."),
    ],
)
def test_two_sizes_are_joined_as_in_the_sentence(sentence: str, wanted: str) -> None:
    place = sentence.lower().index("nodule")
    end = place + len("nodules" if "Nodules" in sentence else "nodule")
    mention = Mention(NODULE, "Nodule", "present", place, end, sizes_mm=(5.0, 6.0))
    assert statement(mention, sentence) == wanted


def test_each_only_once() -> None:
    assert len(restate([*mentions("No edema."), *mentions("There is no edema.")])) == 1


@pytest.mark.parametrize(
    ("one", "many"),
    [("opacity", "opacities"), ("pneumothorax", "pneumothoraces"), ("mass", "masses"),
     ("metastasis", "metastases"), ("foreign body", "foreign bodies"), ("lung cyst", "lung cysts"),
     ("x-ray", "x-rays")],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


@pytest.mark.parametrize(
    "phrase",
    ["an infiltrate", "an 8 mm nodule", "an 80 mm mass", "an 11 mm cyst", "a 1 mm nodule",
     "a unilateral effusion", "an unfolded aorta", "an ECMO cannula", "a PICC", "a hernia"],
)  # fmt: skip
def test_articles(phrase: str) -> None:
    assert with_article(phrase.partition(" ")[2]) == phrase


SIDES, SEVERITIES = ("", "left", "right", "bilateral"), ("", "trace", "mild", "moderate", "large")


# its terms are told one by one; a reader takes the name for any injury
UNREAD = {"spinal injury"}


@pytest.mark.parametrize("name", sorted({*terms.findings()} - UNREAD))
def test_every_finding_is_said_in_good_english_and_read_as_itself(name: str) -> None:
    kind = noun_of(name)
    for certainty in ("definite", "possible", "absent"):
        for side in SIDES:
            for severity in SEVERITIES:
                if severity and side and severity != "moderate":
                    continue  # each of the two alone, and one pair
                text = said(name, certainty, side=side, severity=severity)
                assert faults(text) == [], text
                read = [m for m in mentions(text) if not m.implied]
                assert [m.finding for m in read] == [name], text
                assert read[0].assertion == ASSERTION_OF[certainty], text
                shown = side if f" {side} " in text.replace(name, "") else ""
                assert content_of(read[0]).side == shown, text
                assert fitted(read[0].severity, name, kind) == fitted(severity, name, kind), text


def test_every_device_type_of_the_lexicon_is_said_in_good_english() -> None:
    for name in terms.devices():
        for certainty in CERTAINTIES:
            for tip in ("", "carina", "right atrium", "thoracic inlet"):
                text = said(name, certainty, device=True, side="left", tip=tip)
                assert faults(text) == [], text


def own_statements() -> dict[str, Content]:
    path = Path(__file__).parents[1] / "sentences.tsv"
    found = {}
    for row in csv.DictReader(path.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE):
        for mention in mentions(row["sentence"]):
            content = content_of(mention, row["sentence"])
            found[written(content)] = content
    return found


@pytest.mark.parametrize(("text", "content"), own_statements().items())
def test_statements_are_read_back_as_what_they_say(text: str, content: Content) -> None:
    (again,) = [content_of(m, text) for m in mentions(text) if not m.implied]
    assert (again.finding, again.assertion) == (content.finding, content.assertion)
    assert set(again.places) == set(content.places)
    assert written(again) == text
