"""Sentences: the traps of the splitter, and what must hold of any text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.layout.sentences import split

TRAPS = {
    "decimal": ("A 3.5 cm mass. No effusion.", ["A 3.5 cm mass.", "No effusion."]),
    "unit before capital": ("It is 3 cm. No effusion.", ["It is 3 cm.", "No effusion."]),
    "unit mid sentence": ("It is 3 cm. in size.", ["It is 3 cm. in size."]),
    "abbreviation": ("Atelectasis vs. pneumonia.", ["Atelectasis vs. pneumonia."]),
    "title": ("Seen by Dr. Who today. Clear.", ["Seen by Dr. Who today.", "Clear."]),
    "masked title": ("Called to Dr. ___ at 3 p.m. by phone.", None),
    "time": ("Discussed at 10:30 a.m. by phone. Clear.", None),
    "list number": ("1. Edema. 2. Effusion.", ["Edema.", "Effusion."]),
    "brackets number": ("1) Edema.\n2) Effusion.", ["Edema.", "Effusion."]),
    "rib number": ("Fracture of rib 7. No effusion.", ["Fracture of rib 7.", "No effusion."]),
    "bullets": ("- Edema\n- Effusion", ["Edema", "Effusion"]),
    "hard wrap": ("No focal\nconsolidation is seen.", ["No focal consolidation is seen."]),
    "wrap before a name": ("The tip of the\nPICC is low.", ["The tip of the PICC is low."]),
    "blank line": ("No effusion\n\nClear lungs", ["No effusion", "Clear lungs"]),
    "unwrapped lines": (
        "Lungs are clear\nHeart size is normal and mediastinal contours are unremarkable",
        ["Lungs are clear", "Heart size is normal and mediastinal contours are unremarkable"],
    ),
    "missing blank": (
        "Lungs are clear.The heart is big.",
        ["Lungs are clear.", "The heart is big."],
    ),
    "lower case start": ("Clear. no effusion.", ["Clear.", "no effusion."]),
    "double stop": ("Normal.. Clear.", ["Normal.", "Clear."]),
    "mask alone stays": ("XXXX are normal. ___ seen.", ["XXXX are normal.", "___ seen."]),
    "ellipsis of marks": ("...", []),
    "empty": ("", []),
    "short": ("No pneumothorax.", ["No pneumothorax."]),
    "level": ("Fracture of T. 12 is old.", ["Fracture of T. 12 is old."]),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap(name: str) -> None:
    text, expected = TRAPS[name]
    got = [s.text for s in split(text)]
    if expected is None:  # one sentence, or one and "Clear."
        assert got[0].startswith(text[:20])
        assert len(got) == 1 + text.endswith("Clear.")
    else:
        assert got == expected


def test_shared_traps(shared: Path) -> None:
    for trap in json.loads((shared / "gold" / "split_traps.json").read_text()):
        assert [s.text for s in split(trap["text"])] == trap["expect"]


@given(st.text(alphabet=st.characters(), max_size=200) | st.text("ab. \n1)XT-_,:;?", max_size=80))
def test_spans_match_their_text(text: str) -> None:
    last = 0
    for sentence in split(text):
        assert " ".join(text[sentence.start : sentence.end].split()) == sentence.text
        assert last <= sentence.start < sentence.end <= len(text)
        last = sentence.end
