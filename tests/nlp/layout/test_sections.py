"""Sections: the layouts of MIMIC-CXR and CheXpert Plus, and common typing errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.layout.sections import cut, load_rules, merge, reason, split

FINAL = "                                 FINAL REPORT\n"
RULE = " " + "_" * 78 + "\n"
LAYOUTS = {
    "mimic": (
        FINAL + " EXAMINATION:  CHEST\n \n FINDINGS: \n \n Lungs are\n clear.\n \n"
        " IMPRESSION: \n \n Fine.\n",
        {"findings": "Lungs are clear.", "impression": "Fine."},
    ),
    "wet read": (
        " WET READ: ___ ___ 9:40 PM\n  No acute process.\n" + RULE + FINAL + " FINDINGS:  Clear.\n",
        {"wet_read": "No acute process.", "findings": "Clear."},
    ),
    "addendum on top": (
        " ADDENDUM  A small effusion is seen.\n" + RULE + FINAL + " IMPRESSION:  Clear.\n",
        {"addendum": "A small effusion is seen.", "impression": "Clear."},
    ),
    "heading at the very start": ("FINDINGS: Big heart.\n", {"findings": "Big heart."}),
    "mixed case in mid line": (
        "Findings: Clear. Impression: Normal chest.",
        {"findings": "Clear.", "impression": "Normal chest."},
    ),
    "capitals in mid line": (
        "INDICATION: COUGH. FINDINGS: CLEAR LUNGS. IMPRESSION: NORMAL.",
        {"indication": "COUGH.", "findings": "CLEAR LUNGS.", "impression": "NORMAL."},
    ),
    "several impressions": (
        " IMPRESSION:  Old.\n \n FINDINGS:  Mild edema.\n \n IMPRESSION:  New.\n",
        {"impression": "New.", "findings": "Mild edema."},
    ),
    "joint heading": (" FINDINGS/IMPRESSION:  Clear.\n", {"impression": "Clear."}),
    "misspelt": (" IMPRESSON:  Pneumonia.\n", {"impression": "Pneumonia."}),
    "ndication is no impression": (
        " NDICATION:  Pain.\n IMPRESSION: Clear.\n",
        {"impression": "Clear."},
    ),
    "views lead the prose": (
        " CHEST, 2 VIEWS:  There is a small left pleural effusion and edema.\n",
        {"findings": "There is a small left pleural effusion and edema."},
    ),
    "organ lines stay findings": (
        " FINDINGS:  LUNGS: clear.\n HEART: normal.\n LATERAL VIEW: no nodule.\n \n"
        " CONCLUSION:  Fine.\n",
        {
            "findings": "LUNGS: clear. HEART: normal. LATERAL VIEW: no nodule.",
            "impression": "Fine.",
        },
    ),
    "heading without a colon": (
        "FINDINGS\nClear lungs.\n\nIMPRESSION\nNormal.\n",
        {"findings": "Clear lungs.", "impression": "Normal."},
    ),
    "markdown": (
        "**FINDINGS:** Clear.\n**IMPRESSION:** Normal.",
        {"findings": "Clear.", "impression": "Normal."},
    ),
    "no heading": ("The lungs are clear.", {"body": "The lungs are clear."}),
    "windows line ends": (
        " HISTORY:  Cough.\r\n FINDINGS:  Clear.\r\n",
        {"history": "Cough.", "findings": "Clear."},
    ),
    "chexpert plus": (
        "\nNARRATIVE:\nCLINICAL HISTORY: Cough.\n\nIMPRESSION:\n\n1. NO DISEASE.\n\n"
        "END OF IMPRESSION:\n\n"
        "SUMMARY: 2-ABNORMAL\n\nACCESSION NUMBER:\n123\n",
        {"history": "Cough.", "impression": "1. NO DISEASE."},
    ),
    "a code without an impression": (
        "\nNARRATIVE:\nPA and lateral chest.\n\nThe lungs are clear.\n\nSUMMARY: 1-NORMAL\n",
        {"examination": "PA and lateral chest.", "body": "The lungs are clear."},
    ),
    "a summary in words": ("FINDINGS: Clear.\nSUMMARY: 1 nodule.", {
        "findings": "Clear.", "impression": "1 nodule.",
    }),
    "tail is cut off": (
        " IMPRESSION:  Nodule.\n \n RECOMMENDATION(S):  CT.\n \n NOTIFICATION:  Called.\n",
        {"impression": "Nodule.", "recommendation": "CT.", "notification": "Called."},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    text, expected = LAYOUTS[name]
    assert reason(text) == ""
    assert expected.items() <= merge(split(text)).items()


def test_shared_traps(shared: Path) -> None:
    for trap in json.loads((shared / "gold" / "section_traps.json").read_text()):
        found = merge(split(trap["text"]))
        for name, wanted in trap["expect"].items():
            assert wanted in [found.get(n) for n in name.split("_or_")], trap["id"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("  \n", "report.empty", id="blank"),
        pytest.param(
            "version https://git-lfs.github.com/spec/v1\noid 1", "report.lfs_pointer", id="lfs"
        ),
        pytest.param("___ XXXX.\n", "report.no_text", id="only masks"),
        pytest.param(" INDICATION:  Cough.\n", "report.no_text", id="only an indication"),
        pytest.param(" IMPRESSION:  \n\n", "report.no_text", id="empty heading"),
    ],
)
def test_reason(text: str, code: str) -> None:
    assert reason(text) == code


@pytest.mark.parametrize(("policy", "wanted"), [("last", "B."), ("first", "A."), ("join", "A. B.")])
def test_policy_of_several_impressions(policy: str, wanted: str) -> None:
    sections = split(" IMPRESSION: A.\n \n IMPRESSION: B.\n")
    assert merge(sections, policy)["impression"] == wanted
    with pytest.raises(ValueError, match="last, first or join"):
        merge(sections, "best")


@given(st.text(max_size=150) | st.text("AIMPRESON:FIDG \n_x.", max_size=120))
def test_spans_match_their_text(text: str) -> None:
    for section in split(text):
        assert " ".join(text[section.start : section.end].split()) == section.text
        assert section.text
    assert isinstance(reason(text), str)


def test_rules_of_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "s1: {section: impression}\ns2: {section: findings, start: 3, end: 7}\n"
        "s3: {start: 0, end: 0}\n"
    )
    rules = load_rules(path)
    assert merge(cut("Clear.", rules.get("s1"))) == {"impression": "Clear."}
    assert merge(cut("ab cdef gh", rules["s2"])) == {"findings": "cdef"}
    assert cut("Clear.", rules["s3"]) == ()
    assert merge(cut("Clear.", rules.get("other"))) == {"body": "Clear."}
    path.write_text("s1: {colour: red}\n")
    with pytest.raises(ValueError, match="entry 1"):
        load_rules(path)
