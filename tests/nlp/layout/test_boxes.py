"""Forms: boxes, columns and answers become the words that they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.layout import boxes

# name -> (text, what it says)
READ = {
    "box before": ("Consolidation: [ ] yes [x] no", "Consolidation: no"),
    "box after": ("Consolidation: yes [ ] no [X]", "Consolidation: no"),
    "no colon": ("Consolidation [x] yes [ ] no", "Consolidation: yes"),
    "no colon, box after": ("Consolidation yes [ ] no [x]", "Consolidation: no"),
    "sides": ("Effusion: [x] left [ ] right [ ] none", "Effusion: left"),
    "two sides": ("Effusion: [x] left [x] right [ ] none", "Effusion: left, right"),
    "none": ("Effusion: [ ] left [ ] right [x] none", "Effusion: none"),
    "round": ("Edema: (x) yes ( ) no", "Edema: yes"),
    "signs": ("Edema: ☐ yes ☒ no", "Edema: no"),
    "ticks": ("☑ Cardiomegaly\n☐ Edema", "Cardiomegaly\n"),
    "a list of findings": (
        "[x] Cardiomegaly\n[ ] Edema\n[x] Small effusion",
        "Cardiomegaly\n\nSmall effusion",
    ),
    "box behind a finding": ("Cardiomegaly [x]\nEdema [ ]", "Cardiomegaly: yes\n"),
    "nothing ticked": ("Edema: [ ] yes [ ] no", ""),
    "options below": (
        "Pleural effusion:\n[ ] none\n[x] small\n[ ] large",
        "\nPleural effusion: small\n",
    ),
    "comment": ("Edema: [x] yes [ ] no. Mild.", "Edema: yes. Mild"),
    "comment without a stop": (
        "Edema: [x] yes [ ] no Comment: mild",
        "Edema: yes. Comment: mild",
    ),
    "value with a colon": ("[x] Effusion: small, right", "Effusion: small, right"),
    "columns": ("Pneumothorax\tNo\nEffusion | Yes |", "Pneumothorax: No\nEffusion: Yes"),
    "wide columns": ("Pneumothorax |     N", "Pneumothorax: no"),
    "prose": (
        "The lungs are clear (see above). T[7] fracture.",
        "The lungs are clear (see above). T[7] fracture.",
    ),
    "mask": ("Seen by [**Name**] at 3.", "Seen by [**Name**] at 3."),
}
# text -> its labels
LABELS = {
    "Consolidation: [ ] yes [x] no\nEffusion: [x] left [ ] right [ ] none": {
        "Consolidation": 0,
        "Pleural Effusion": 1,
    },
    "Heart: [x] normal [ ] enlarged\nLungs: [ ] clear [x] infiltrate": {
        "Cardiomegaly": 0,
        "Infiltration": 1,
    },
    "FINDINGS:\n[x] Cardiomegaly\n[ ] Pneumothorax\n[x] Pleural effusion: small, right": {
        "Cardiomegaly": 1,
        "Pleural Effusion": 1,
    },
    "Pneumothorax   ( ) Y  (x) N\nEdema   (x) Y  ( ) N": {"Pneumothorax": 0, "Edema": 1},
    "Pneumothorax: N\nEdema: Y": {"Pneumothorax": 0, "Edema": 1},
    "PNEUMOTHORAX: NO\nEFFUSION: YES, SMALL LEFT\nCONSOLIDATION: NONE": {
        "Pneumothorax": 0,
        "Pleural Effusion": 1,
        "Consolidation": 0,
    },
    "Cardiac size: Normal\nMediastinum: Normal\nPleura: Clear": {
        "Cardiomegaly": 0,
        "Pleural Effusion": 0,
    },
    "Pneumothorax | Absent\nEdema | Present": {"Pneumothorax": 0, "Edema": 1},
}


@pytest.mark.parametrize("name", READ)
def test_form(name: str) -> None:
    text, said = READ[name]
    assert boxes.read(text) == said


@pytest.mark.parametrize("text", LABELS)
def test_labels_of_a_form(text: str) -> None:
    found = annotate(text).labels
    assert LABELS[text].items() <= found.items()
    assert ("Pneumothorax" in found) == ("Pneumothorax" in LABELS[text])


@given(st.text("[]()xX ☐☒|\t:\nyesno.", max_size=60) | st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    said = boxes.read(text)
    assert len(said) <= len(text) + 4 * (text.count("\n") + 1) + 300
    if not any(c in text for c in "[(|\t☐☑☒□■▢✓✔"):
        assert said == text
