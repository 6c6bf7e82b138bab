"""Reports: no layout may lose a finding, and none may leak what was only asked for."""

from __future__ import annotations

import textwrap

import pytest

from cxr_vlp.nlp.annotate import annotate

RULE = "_" * 78 + "\n"
FINAL = "                                 FINAL REPORT\n"
# name -> (report, labels that it must have, labels that it must not have)
REPORTS: dict[str, tuple[str, dict[str, int], str]] = {
    "nhs, indication on a line": (
        "XR Chest\nClinical indication: ?chest infection\nHeart size within normal limits. There "
        "is patchy air space shadowing at the right base.\nNo pneumothorax.\n"
        "Reported by: Dr A Reporter, Consultant Radiologist, GMC 1234567",
        {"Lung Opacity": 1, "Pneumothorax": 0, "Cardiomegaly": 0}, "Pneumonia",
    ),
    "nhs, bare lines": (
        "CLINICAL DETAILS: SOB ?PE\nLungs are clear\nSmall left effusion\nReported by Dr B",
        {"Pleural Effusion": 1}, "Pneumonia",
    ),
    "nhs, history and report": (
        "Clinical history: cough, ?pneumonia\n\nReport: There is left lower zone consolidation.\n",
        {"Consolidation": 1}, "Pneumonia",
    ),
    "nhs, comment": (
        "Clinical Details: Fall.\nFindings: No pneumothorax.\nComment: Right rib fractures.\n",
        {"Pneumothorax": 0, "Fracture": 1}, "",
    ),
    "nhs, no heading for the report": (
        "XR CHEST\nRequest details: cough for 3 weeks, ? malignancy\n\nThe heart is enlarged. "
        "Clear lungs.\n\nDr C Reader\nConsultant Radiologist",
        {"Cardiomegaly": 1}, "Nodule",
    ),
    "indication over two lines": (
        " INDICATION:  Man with cough and fever for some days, please evaluate for\n pneumonia.\n"
        " \n IMPRESSION:  Clear lungs.\n",
        {"Lung Opacity": 0}, "Pneumonia",
    ),
    "an indication alone": (
        " INDICATION:  Cough.\n Evaluate for pneumonia.\n", {}, "Pneumonia",
    ),
    "findings below a comparison": (
        "COMPARISON: Set against the earlier film the right effusion has become larger.",
        {"Pleural Effusion": 1}, "",
    ),
    "an addendum that explains a finding away": (
        "IMPRESSION: Right upper lobe nodule.\n"
        "ADDENDUM: The described nodule is a nipple shadow, no nodule is present.",
        {"Nodule": 0, "No Finding": 1}, "",
    ),
    "a diagnosis below a history": (" HISTORY:  Cough.\n Pneumonia.\n", {}, "Pneumonia"),
    "a question below an indication": (
        "Indication: cough\n? effusion\nLungs are clear.", {"Lung Opacity": 0}, "Pleural Effusion",
    ),
    "indication and findings in one line": (
        "Indication: fall, r/o pneumothorax. The lungs are clear. There is a small left effusion.",
        {"Pleural Effusion": 1}, "Pneumothorax",
    ),
    "everything in one line": (
        "EXAM: CHEST 2 VIEWS 1/2/2020 10:00 AM INDICATION: ?PNEUMONIA COMPARISON: NONE "
        "FINDINGS AND IMPRESSION: SMALL LEFT EFFUSION.",
        {"Pleural Effusion": 1}, "Pneumonia",
    ),
    "mixed case in one line": (
        "Exam: Chest. Clinical indication: r/o pneumonia. Comparison: None. Findings: Small left "
        "effusion. Impression: Effusion.",
        {"Pleural Effusion": 1}, "Pneumonia",
    ),
    "capitals in one line": (
        "CLINICAL HISTORY: PNEUMONIA. TECHNIQUE: AP. COMPARISON: NONE. FINDINGS: LUNGS CLEAR. "
        "IMPRESSION: NO EFFUSION.",
        {"Pleural Effusion": 0}, "Pneumonia",
    ),
    "comparison holds the findings": (
        " INDICATION:  Pneumonia.\n COMPARISON:  ___.  Lungs are clear.  Small left effusion.\n",
        {"Pleural Effusion": 1}, "Pneumonia",
    ),
    "comparison and a paragraph": (
        FINAL + " INDICATION:  Line placement.\n \n COMPARISON:  ___.\n \n The left effusion has\n"
        " increased.  The right lung is clear.\n",
        {"Pleural Effusion": 1}, "",
    ),
    "a paragraph above the impression": (
        FINAL + " HISTORY:  Pneumonia.\n \n COMPARISON:  ___.\n \n There is a left effusion.\n"
        " \n IMPRESSION:  No change.\n",
        {"Pleural Effusion": 1}, "Pneumonia",
    ),
    "comparison names an old finding": (
        " COMPARISON:  CT chest from ___ with a nodule.\n \n IMPRESSION:  No effusion.\n",
        {"Pleural Effusion": 0}, "Nodule",
    ),
    "technique and prose": (
        "TECHNIQUE: PA and lateral views of the chest.\nThe heart is enlarged. No effusion.\n",
        {"Cardiomegaly": 1, "Pleural Effusion": 0}, "",
    ),
    "views and prose": (
        "VIEWS: Two.\n\nThe heart is enlarged. No effusion.\n",
        {"Cardiomegaly": 1, "Pleural Effusion": 0}, "",
    ),
    "views lead the prose": (
        " HISTORY:  Edema.\n \n CHEST, TWO VIEWS:  There is a small left pleural effusion.\n",
        {"Pleural Effusion": 1}, "Edema",
    ),
    "addendum on top": (
        "                                 FINAL ADDENDUM\n ADDENDUM:  The left lower lobe nodule "
        "was not mentioned in the initial report.\n CT recommended.\n" + RULE + FINAL +
        " FINDINGS:  Lungs are clear.\n \n IMPRESSION:  No acute process.\n",
        {"Nodule": 1, "No Finding": 0}, "",
    ),
    "addendum below": (
        " WET READ: None.\n" + FINAL + " FINDINGS:  Small right pneumothorax is present.\n \n "
        "IMPRESSION:  Small right pneumothorax.\n \n ADDENDUM:  The above should read: there is NO "
        "pneumothorax.\n",
        {"Pneumothorax": 0, "No Finding": 1}, "",
    ),
    "addendum turns a denial": (
        "FINDINGS: No pneumothorax. No effusion.\nADDENDUM: On review there is a tiny left apical "
        "pneumothorax.",
        {"Pneumothorax": 1, "Pleural Effusion": 0, "No Finding": 0}, "",
    ),
    "addendum in mid line": (
        "IMPRESSION: Small right pneumothorax. Addendum: There is no pneumothorax.",
        {"Pneumothorax": 0}, "",
    ),
    "addendum by a name": (
        "IMPRESSION: No acute disease.\nADDENDUM by Dr. X on 3/4 at 10:30: There is a left rib "
        "fracture.",
        {"Fracture": 1}, "",
    ),
    "addendum on what was left out": (
        "FINDINGS: Heart normal.\nADDENDUM: Not described in the initial report is a rib fracture.",
        {"Fracture": 1}, "",
    ),
    "addendum on the call only": (
        "FINDINGS: Small left effusion.\nADDENDUM: Findings were discussed with Dr. X at 10:30.",
        {"Pleural Effusion": 1, "No Finding": 0}, "",
    ),
    "addendum alone": ("ADDENDUM: There is a small left effusion.", {"Pleural Effusion": 1}, ""),
    "wet read alone": (
        " WET READ: ___ ___ 9:40 PM\n  Small left effusion. No pneumothorax.\n",
        {"Pleural Effusion": 1, "Pneumothorax": 0}, "",
    ),
    "wet read on its line": ("WET READ: Small left effusion.", {"Pleural Effusion": 1}, ""),
    "wet read does not overrule": (
        " WET READ: ABC MON 9:40 PM\n  Small left pneumothorax.\n" + RULE + FINAL +
        " FINDINGS:  No pneumothorax.\n",
        {"Pneumothorax": 0}, "",
    ),
    "signed without a colon": (
        "FINDINGS: Clear lungs.\nElectronically signed by Dr. Pneumonia Smith on 3/4.",
        {"Lung Opacity": 0}, "Pneumonia",
    ),
    "attestation": (
        "IMPRESSION: No effusion.\nI have personally reviewed the images and the report of edema.",
        {"Pleural Effusion": 0}, "Edema",
    ),
    "chexpert plus": (
        "NARRATIVE:\nRADIOGRAPHIC EXAMINATION OF THE CHEST: 1/2/2020\n\nCLINICAL HISTORY: 60 years "
        "of age, Male, r/o edema.\n\nCOMPARISON: 1/1/2020\n\nPROCEDURE COMMENTS: Single view.\n\n"
        "FINDINGS:\n\nSmall left effusion.\n\nIMPRESSION:\n\n1. SMALL LEFT EFFUSION.\n\n2. NO "
        "PNEUMOTHORAX.\n\nEND OF IMPRESSION\n\nSUMMARY: 2-ABNORMAL, PHYSICIAN AWARE\n",
        {"Pleural Effusion": 1, "Pneumothorax": 0}, "Edema",
    ),
    "community": (
        "PROCEDURE: XR CHEST PA AND LATERAL\nCLINICAL INDICATION: pneumonia\nCOMPARISON: none\n"
        "FINDINGS:\nLungs: Clear.\nHeart: Enlarged.\nIMPRESSION:\nCardiomegaly\n"
        "Dictated by: X\nSigned by: Y",
        {"Cardiomegaly": 1}, "Pneumonia",
    ),
    "template without impression": (
        "Reason for exam: trauma, pneumothorax?\nHeart: Normal\nLungs: Clear\nPneumothorax: No\n"
        "Bones: Rib fracture",
        {"Cardiomegaly": 0, "Pneumothorax": 0, "Fracture": 1}, "Pneumonia",
    ),
    "lower case headings": (
        "indication: edema\nfindings: small effusion\nimpression: effusion",
        {"Pleural Effusion": 1}, "Edema",
    ),
    "dash after the heading": (
        "Findings – Small left effusion.\nImpression – Effusion.", {"Pleural Effusion": 1}, "",
    ),
    "heading alone on its line": (
        "INDICATION\nEdema\n\nFINDINGS\nSmall left effusion\n\nIMPRESSION\nEffusion",
        {"Pleural Effusion": 1}, "Edema",
    ),
    "body before the impression": (
        "PORTABLE CHEST X-RAY\nThe heart is enlarged.\nIMPRESSION: No change.",
        {"Cardiomegaly": 1}, "",
    ),
    "request above the impression": (
        "Cough, evaluate for pneumonia.\nIMPRESSION: No effusion.",
        {"Pleural Effusion": 0}, "Pneumonia",
    ),
    "recommendation": (
        "IMPRESSION: Nodule.\nRECOMMENDATION: CT to exclude consolidation.",
        {"Nodule": 1}, "Consolidation",
    ),
    "no heading": ("Heart is enlarged. Evaluate for edema clinically.", {"Cardiomegaly": 1}, ""),
    "icu, lines first": (
        "Portable AP\nETT 4 cm above carina\nNGT in stomach\nBilateral effusions, R>L\nNo PTX",
        {"Support Devices": 1, "Pleural Effusion": 1, "Pneumothorax": 0}, "",
    ),
    "two impressions": (
        "IMPRESSION: Old.\n\nFINDINGS: Mild edema.\n\nIMPRESSION: Edema.\n", {"Edema": 1}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_report(name: str) -> None:
    text, wanted, leaked = REPORTS[name]
    found = annotate(text).labels
    assert {key: found.get(key) for key in wanted} == wanted
    assert not leaked or leaked not in found


def test_sentences_keep_the_name_of_their_section() -> None:
    found = annotate("FINDINGS: No effusion.\nIMPRESSION: Clear.\nADDENDUM: Small nodule.")
    assert [(s.section, s.index) for s in found.sentences] == [
        ("findings", 0),
        ("impression", 0),
        ("addendum", 0),
    ]
    assert (found.findings, found.impression) == ("No effusion.", "Clear.")
    assert found.abnormal == "Small nodule."


def test_a_word_broken_at_a_line_end_is_whole() -> None:
    found = annotate("FINDINGS: There is no left-\n sided effusion or non-\n displaced fracture.")
    assert found.sentences[0].text.startswith("There is no left-sided effusion or non-displaced")
    assert found.labels["Pleural Effusion"] == 0


def test_a_wrapped_report_has_the_sentences_of_one_that_is_not() -> None:
    said = (
        "Comparison is made to the study of March 3. There is a right internal jugular Swan-Ganz "
        "catheter. ETT is in place, and NGT ends in the stomach. No pneumothorax. Heart size is "
        "normal. Discussed with Dr. Smith at 10:30. Possible pneumonia at the left base."
    )
    whole = [s.text for s in annotate(f"FINDINGS: {said}").sentences]
    for width in range(60, 130):
        lines = textwrap.wrap(f"FINDINGS:  {said}", width, break_on_hyphens=False)
        assert [s.text for s in annotate("\n ".join(lines)).sentences] == whole, width


def test_a_list_of_lines_has_the_sentences_of_prose() -> None:
    said = ["No acute fracture", "Lungs are clear", "old left rib fractures", "ETT in place",
            "Mild degenerative change in the thoracic spine with small osteophytes",
            "XXXX is normal", "no effusion"]  # fmt: skip
    for first in range(len(said)):
        turned = said[first:] + said[:first]
        report = "FINDINGS:\n" + "\n".join(turned)
        assert [s.text for s in annotate(report).sentences] == turned
