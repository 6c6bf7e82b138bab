"""Devices: the type, side, tip place and position of each, and the status of their sentence."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import POSITIONS, Mention
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.labels import DEVICES, from_mentions, labels_of
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording.statements import restate

_TABLES = sorted(Path(__file__).parent.glob("*.tsv"))
TIPS = frozenset((
    "above the carina", "carina", "right main bronchus", "left main bronchus", "bronchus",
    "trachea", "thoracic inlet", "svc", "cavoatrial junction", "right atrium", "right ventricle",
    "azygos vein",
    "brachiocephalic vein", "subclavian vein", "axillary vein", "internal jugular vein",
    "pulmonary artery", "inferior vena cava", "aorta", "stomach", "gastroesophageal junction",
    "esophagus", "duodenum", "below the diaphragm", "pleural space", "liver", "lung",
    "coronary sinus", "",
))  # fmt: skip
TERMS = [term for row in lexicon.load("device_types") for term in row["terms"]]
ELLIPTIC = ("et",)  # a tube only in a list: "ET and NG tubes"
PLACES = [
    f"{relation} {term}".strip()
    for row in lexicon.load("device_places")["places"]
    for term in row["terms"]
    for relation in row.get("relations", ("in the",))[:2]
]
SAID = [
    "removed", "is coiled", "should be advanced 2 cm", "in standard position", "unchanged",
    "too low", "1 cm", "tip", "the", "and", ",", ";", "left", "right", "no", "not", "possibly",
    "replaced by", "remains", "removal of", "one of two", "side port", "pneumothorax",
    "lungs are clear", "which",
]  # fmt: skip


def _rows() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for table in _TABLES:
        with table.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file, delimiter="\t")
    return rows


def _short(mention: Mention) -> str:
    """Return a device as the table writes it: type,side@tip:position, "-" or "?" if not present."""
    text = mention.finding + (f",{mention.side}" if mention.side else "")
    text += f"@{mention.tip}" if mention.tip else ""
    if mention.position:
        return f"{text}:{mention.position}"
    return text + {"absent": "-", "uncertain": "?"}.get(mention.assertion, "")


@pytest.mark.parametrize("row", _rows(), ids=lambda row: str(row["trap"]))
def test_devices_of_a_sentence(row: dict[str, str]) -> None:
    found = classify(row["sentence"])
    assert " + ".join(_short(m) for m in found.mentions if m.device) == row["devices"]
    assert found.status == row["status"]


@pytest.mark.parametrize("term", [term for term in TERMS if term not in ELLIPTIC])
def test_every_term_names_one_device_of_its_type(term: str) -> None:
    found = [m for m in mentions(f"Unchanged {term}.") if m.device]
    rows = lexicon.load("device_types")
    wanted = next(row["name"] for row in rows if term in row["terms"])
    if term not in lexicon.load("device_words")["general"]:  # others depend on their neighbours
        assert [m.finding for m in found] == [wanted]
    assert len(found) == 1


@given(st.lists(st.sampled_from([*TERMS, *PLACES, *SAID, *SAID, *SAID]), min_size=1, max_size=12))
def test_what_is_said_of_a_device_is_of_the_format(words: list[str]) -> None:
    found = [m for m in mentions(" ".join(words)) if m.device]
    for device in found:
        assert device.finding in terms.devices()
        assert device.label in ("", DEVICES)
        assert device.side in ("", "left", "right", "bilateral")
        assert device.tip in TIPS
        assert device.position in ("", *POSITIONS)
        assert (device.position == "removed") <= (device.assertion == "absent")
        assert device.assertion != "absent" or device.position in ("", "removed")
    assert len({(m.start, m.end) for m in found}) == len(found)
    assert all(text.startswith("There ") for text in restate(found))


@given(st.text(max_size=200))
def test_no_text_after_a_device_raises_an_exception(text: str) -> None:
    classify(f"ETT {text}")
    classify(f"{text} tip of the PICC 3 {text} cm above the carina")


def test_a_device_in_a_wrong_place_is_no_normal_report() -> None:
    found = annotate("FINDINGS: Lungs are clear. The ETT is in the right main bronchus.")
    assert found.labels["No Finding"] == 0
    assert found.labels[DEVICES] == 1
    assert not found.normal
    assert found.abnormal == "The ETT is in the right main bronchus."
    assert [s.rule for s in found.sentences][1] == "device.malpositioned"


def test_a_hedged_wrong_place_leaves_the_device_there() -> None:
    found = annotate("The left PICC tip may be in the azygos vein.")
    assert [s.status for s in found.sentences] == ["uncertain"]
    assert (found.labels["No Finding"], found.labels[DEVICES]) == (0, 1)


def test_a_device_in_its_place_is_no_finding() -> None:
    assert from_mentions(mentions("ETT in standard position.")) == {"No Finding": 1, DEVICES: 1}
    assert from_mentions(mentions("The ETT is coiled.")) == {"No Finding": 0, DEVICES: 1}
    assert from_mentions(mentions("ETT removed.")) == {"No Finding": 1, DEVICES: 0}


def _states(name: str) -> list[tuple[str, str]]:
    """Return the tip places and positions that a device of a type can have at once."""
    belongs = lexicon.load("device_places")["belongs"].get(name, {})
    states = [("", ""), ("", "adequate"), ("", "malpositioned")]
    states += [(tip, "adequate") for tip in belongs.get("right", ())]
    states += [(tip, "malpositioned") for tip in belongs.get("wrong", ())]
    return states + [(tip, said) for tip in belongs.get("other", ()) for said in ("", "adequate")]


@pytest.mark.parametrize("name", list(terms.devices()))
@pytest.mark.parametrize("side", ["", "left", "right", "bilateral"])
def test_a_statement_of_a_device_is_read_as_itself(name: str, side: str) -> None:
    if name in lexicon.words("statements", "device_midline"):
        side = ""
    for tip, position in _states(name):
        said = Mention(
            name, "", "present", 0, 1, side=side, device=True, position=position, tip=tip
        )
        (text,) = restate([said])
        read = [(m.finding, m.side, m.tip, m.position) for m in mentions(text) if m.device]
        assert read == [(name, side, tip, position)], text


def test_labels_of_every_type() -> None:
    assert labels_of("picc") == (DEVICES,)
    assert labels_of("sternal wires") == ()
    assert labels_of("support device") == ()


def test_no_term_is_of_two_types() -> None:
    assert [term for term, count in Counter(TERMS).items() if count > 1] == []


def test_places_and_types_of_the_tables_exist() -> None:
    table = lexicon.load("device_places")
    types = {row["name"] for row in lexicon.load("device_types")}
    assert {row["tip"] for row in table["places"]} <= TIPS
    for name in ("belongs", "distances", "levels"):
        assert set(table[name]) <= types
    for row in table["belongs"].values():
        assert set(row["right"]) <= TIPS
        assert set(row["wrong"]) <= TIPS
        assert not set(row["right"]) & set(row["wrong"])
    assert set(table["landmarks"]) <= TIPS
