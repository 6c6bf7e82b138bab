"""Sentences: line ends, list numbers, bullets, times and decimals, in many styles of report."""

from __future__ import annotations

import pytest

from cxr_vlp.nlp.layout.sentences import split

WRAPPED = (
    "As compared to the previous radiograph, the patient has received a right internal jugular\n"
    "Swan-Ganz catheter. The course of the catheter is unremarkable. The tip projects over the\n"
    "PICC line. No evidence of complications, notably no pneumothorax. Unchanged size of the left\n"
    "Port-A-Cath. Comparison is made to the study that was performed at the outside hospital on\n"
    "March 3. Findings were discussed with\n"
    "Dr. Smith at the time of the study"
)
# name -> (text, its sentences); "|" parts the sentences
TRAPS = {
    "bare lines": (
        "No acute fracture\nLungs are clear\nBibasilar atelectasis\nHeart size normal",
        "No acute fracture|Lungs are clear|Bibasilar atelectasis|Heart size normal",
    ),
    "bare lines, unequal": (
        "Stable cardiomegaly\nNo effusion\nMild interstitial prominence without focal infiltrate",
        "Stable cardiomegaly|No effusion|Mild interstitial prominence without focal infiltrate",
    ),
    "bare lines, capitals": (
        "LUNGS CLEAR\nHEART SIZE NORMAL\nNO EFFUSION",
        "LUNGS CLEAR|HEART SIZE NORMAL|NO EFFUSION",
    ),
    "bare lines, lower case": (
        "lungs clear\nheart normal\nno effusion",
        "lungs clear|heart normal|no effusion",
    ),
    "bare lines, abbreviations": (
        "ETT 4 cm above carina\nNGT in stomach\nPTX resolved",
        "ETT 4 cm above carina|NGT in stomach|PTX resolved",
    ),
    "some with a stop": (
        "Heart normal.\nLungs clear\nNo effusion.",
        "Heart normal.|Lungs clear|No effusion.",
    ),
    "windows line ends": ("Lungs clear\r\nHeart normal\r\n", "Lungs clear|Heart normal"),
    "wrapped before names": (
        WRAPPED,
        "As compared to the previous radiograph, the patient has received a right internal jugular "
        "Swan-Ganz catheter.|The course of the catheter is unremarkable.|The tip projects over the "
        "PICC line.|No evidence of complications, notably no pneumothorax.|Unchanged size of the "
        "left Port-A-Cath.|Comparison is made to the study that was performed at the outside "
        "hospital on March 3.|Findings were discussed with Dr. Smith at the time of the study",
    ),
    "wrapped before CT": (
        "There is an ill-defined nodular opacity in the left upper lobe for which a dedicated\n"
        "CT is recommended.",
        "There is an ill-defined nodular opacity in the left upper lobe for which a dedicated "
        "CT is recommended.",
    ),
    "wrapped before a mask": (
        "Findings were telephoned to the referring physician at the time of interpretation by\n"
        "___ on the telephone.",
        "Findings were telephoned to the referring physician at the time of interpretation by "
        "___ on the telephone.",
    ),
    "wrapped before a level": (
        "There is an old compression deformity of the lower thoracic spine, most likely that of\n"
        "T12, which is unchanged.",
        "There is an old compression deformity of the lower thoracic spine, most likely that of "
        "T12, which is unchanged.",
    ),
    "wrapped list": (
        "No focal consolidation, pleural effusion,\npneumothorax or edema.",
        "No focal consolidation, pleural effusion, pneumothorax or edema.",
    ),
    "wrapped after a dash": ("Moderate left-\nsided effusion.", "Moderate left- sided effusion."),
    "short form before a short subject": (
        "Nil collapse/consol.  CPAs sharp",
        "Nil collapse/consol.|CPAs sharp",
    ),
    "short form before its place": ("Nodular dens. RUL", "Nodular dens. RUL"),
    "narrow wrap": (
        "There is no\npleural effusion\nor edema.",
        "There is no pleural effusion or edema.",
    ),
    "wrapped, last stop missing": (
        "The cardiomediastinal silhouette is within normal limits and the lungs are clear\n"
        "No effusion or pneumothorax is seen",
        "The cardiomediastinal silhouette is within normal limits and the lungs are clear|"
        "No effusion or pneumothorax is seen",
    ),
    "labels": (
        "Cardiac size: Normal\nLungs: RLL consolidation, ?pneumonia\nPleura: Clear",
        "Cardiac size: Normal|Lungs: RLL consolidation, ?pneumonia|Pleura: Clear",
    ),
    "labels in lower case": ("lungs: clear\nheart: normal", "lungs: clear|heart: normal"),
    "labels with a dash": (
        "Effusion - small, right\nPTX - none\nHeart - normal",
        "Effusion - small, right|PTX - none|Heart - normal",
    ),
    "label on a line of its own": ("Lungs:\nClear\nHeart:\nNormal", "Lungs: Clear|Heart: Normal"),
    "label with a wrapped value": (
        "Lungs: There is a small opacity in the\nright base.\nHeart: Normal",
        "Lungs: There is a small opacity in the right base.|Heart: Normal",
    ),
    "label in a wrapped text": (
        "The lungs are well expanded and clear without focal consolidation or effusion\n"
        "Bones/soft tissues: no acute abnormality",
        "The lungs are well expanded and clear without focal consolidation or effusion|"
        "Bones/soft tissues: no acute abnormality",
    ),
    "dash bullets": ("- No effusion\n- Lungs clear", "No effusion|Lungs clear"),
    "tight dash bullets": ("-No effusion\n-Lungs clear", "No effusion|Lungs clear"),
    "star bullets": ("* Edema\n* CT recommended", "Edema|CT recommended"),
    "dots": ("• small effusion\n• no edema", "small effusion|no edema"),
    "letters": ("a) Edema\nb) Effusion", "Edema|Effusion"),
    "letters with a stop": ("a. Edema\nb. Effusion", "Edema|Effusion"),
    "roman numbers": ("(i) Edema\n(ii) Effusion", "Edema|Effusion"),
    "numbers without stops": ("1. Edema 2. Effusion 3. No nodule", "Edema|Effusion|No nodule"),
    "numbers over lines": (
        "1. Edema\n2. Effusion,\nsmall\n3. Nodule",
        "Edema|Effusion, small|Nodule",
    ),
    "number of a rib": ("1. Fracture of rib 2. No effusion.", "Fracture of rib 2.|No effusion."),
    "number of a series": ("Nodule on image 3. No effusion.", "Nodule on image 3.|No effusion."),
    "number tight": ("Lungs clear.2. No effusion.", "Lungs clear.|No effusion."),
    "clock at the end": ("Discussed at 10:30. No effusion.", "Discussed at 10:30.|No effusion."),
    "clock with a stop": ("Called at 3.45 p.m. No effusion.", "Called at 3.45 p.m.|No effusion."),
    "clock in a list": (
        "1. Edema, called at 9:05. 2. No effusion.",
        "Edema, called at 9:05.|No effusion.",
    ),
    "clock in mid sentence": ("Seen at 3:45 p.m. by phone.", "Seen at 3:45 p.m. by phone."),
    "decimal at the end": ("Ratio of 0.5. No effusion.", "Ratio of 0.5.|No effusion."),
    "decimal before a number": ("Ratio 0.55. 2. Edema.", "Ratio 0.55.|Edema."),
    "date at the end": ("Compared to 3.5.2019. Clear.", "Compared to 3.5.2019.|Clear."),
    "size": ("Nodule of 1.4 x 0.9 cm. Clear.", "Nodule of 1.4 x 0.9 cm.|Clear."),
    "title in a line": ("Called to Dr.\nSmith at noon.", "Called to Dr. Smith at noon."),
    "versus": ("Atelectasis vs. Pneumonia. Clear.", "Atelectasis vs. Pneumonia.|Clear."),
    "shortened words": (
        "Bilat. effusions, approx. 2 cm. Clear.",
        "Bilat. effusions, approx. 2 cm.|Clear.",
    ),
    "lower case start": (
        "lungs clear. no effusion. heart ok",
        "lungs clear.|no effusion.|heart ok",
    ),
    "blank lines": ("Edema\n\nNo effusion\n \nClear", "Edema|No effusion|Clear"),
    "boxes": ("[x] Edema\n[ ] Effusion", "[x] Edema|[ ] Effusion"),
    "question": ("?pneumonia\nNo effusion", "?pneumonia|No effusion"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap(name: str) -> None:
    text, expected = TRAPS[name]
    assert [s.text for s in split(text)] == expected.split("|")
