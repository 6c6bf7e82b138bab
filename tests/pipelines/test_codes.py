"""Every code that the rooms can give has a line in the registry, and its line says something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cxr_vlp.pipelines import codes

ROOT = Path(__file__).resolve().parents[2]
# what a code of a reject row or a note begins with; those of `verify` are told by its own report
GROUPS = (
    *("age", "box", "caption", "csv", "date", "decode", "dicom", "digests", "exceptions", "folder"),
    *(
        "id",
        "image",
        "key",
        "label",
        "list",
        "path",
        "picture",
        "pixels",
        "report",
        "source",
        "split",
    ),
    *("study", "text", "view", "voi", "window"),
)
# as a whole, or in front of a message or of the column that it is about
_CODE = re.compile(rf"((?:{'|'.join(GROUPS)})\.[a-z0-9_]+)(?::.*|)", re.S)


def used() -> dict[str, str]:
    """Return code -> a file that gives it: string constants that are a code, docstrings aside."""
    found = {}
    for path in sorted((ROOT / "pipelines").rglob("*.py")):
        if path.name == "codes.py" or {"synthetic", "validate"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                match = _CODE.fullmatch(node.value)
                if match and not _FILE.search(match[1]):
                    found.setdefault(match[1], path.name)
    return found


_FILE = re.compile(r"\.(py|yaml|csv|json|jsonl|gz|md|txt)$")
CODES = used()


def test_the_codes_are_found():
    assert {"csv.ragged", "image.missing", "report.not_text", "dicom.truncated"} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_registered(code):
    assert codes.of(code)[0], f"{code} of {CODES[code]} has no line in pipelines/codes.py"


@pytest.mark.parametrize("code", codes.ALL)
def test_every_line_says_something_and_no_remedy_is_half_said(code):
    meaning, remedy = codes.ALL[code]
    assert len(meaning.split()) > 2
    assert meaning[0] != " "
    assert not remedy.endswith(".")
    assert re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)?", code)


def test_a_code_that_names_a_place_is_the_same_code():
    assert codes.of("csv.ragged train.csv line 3") == codes.of("csv.ragged")
    assert codes.of("label.bad_value:Edema") == codes.of("label.bad_value")
    assert codes.of("nothing.of_the_kind") == ("", "")
