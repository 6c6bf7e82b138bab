"""Every code in the source code is in the registry, and the registry has no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_vlp.pipelines import codes

ROOT = Path(__file__).resolve().parents[2]
TABLES = dict(codes.PAGE)
REGISTERED = {code for table in TABLES.values() for code in table}
# what a code begins with
GROUPS = {code.partition(".")[0] for code in REGISTERED if "." in code}
# parameters and files that look like codes
OTHERS = {"texts.translations", "samples.parquet"}
# a code as a whole, or before a column or a message
CODE = re.compile(rf"(?:note:)?((?:{'|'.join(sorted(GROUPS))})\.[a-z][a-z0-9_]*)(?=$|[: ])")
# the code that begins a message, also one of an unknown group
MESSAGE = re.compile(r"([a-z]+\.[a-z][a-z_]+): \S")
FILE = re.compile(r"\.(py|yaml|csv|json|jsonl|gz|md|txt|tar)$")
# composed codes: template -> values
MADE_OF_PARTS = {
    "{}.not_file": ("image", "report"),
    "dicom.{}": ("for_processing", "body_part", "modality"),
    "source.{}": ("changed", "gone"),
    "note:translated.{}": ("",),
}


def strings() -> Iterator[tuple[str, Path]]:
    """Yield the strings in the code of pipelines and nlp, docstrings too, holes as {}."""
    for room in ("pipelines", "nlp"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.name == "codes.py" or "synthetic" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value, path
                elif isinstance(node, ast.JoinedStr):
                    parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
                    yield "".join(map(str, parts)), path


def used() -> dict[str, str]:
    """Return code -> the file that gives it."""
    found: dict[str, str] = {}
    for text, path in strings():
        match = CODE.match(text) or MESSAGE.match(text)
        if match and not FILE.search(match[1]) and match[1] not in OTHERS:
            found.setdefault(match[1], path.name)
        for template, parts in MADE_OF_PARTS.items():
            if re.match(re.escape(template) + r"(?=$|[: ])", text):
                filled = (template.removeprefix("note:").format(part) for part in parts)
                found.update((code.strip("."), path.name) for code in filled)
    return found


CODES = used()


def test_the_codes_are_found():
    assert {"csv.ragged", "image.missing", "report.not_text", "dicom.truncated"} <= set(CODES)
    assert {"shard.torn", "json.view", "image.cut", "texts.differ"} <= set(CODES)
    assert all(any(template in text for text, _ in strings()) for template in MADE_OF_PARTS)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_registered(code):
    assert code in REGISTERED, f"{code} of {CODES[code]} has no line in pipelines/codes.py"


@pytest.mark.parametrize("code", sorted(REGISTERED))
def test_every_registered_code_is_used(code):
    assert code in CODES, f"nothing uses {code}: remove it from pipelines/codes.py"


@pytest.mark.parametrize("title", TABLES)
def test_every_code_has_a_meaning_and_no_remedy_is_incomplete(title):
    for code, (meaning, remedy) in TABLES[title].items():
        assert len(meaning.split()) > 2, code
        assert meaning[0] != " "
        assert not remedy.endswith(".")
        assert re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)?", code)


def test_every_breach_of_verify_has_a_remedy():
    notes = {"image.own_splits", "image.twice", "source.gone", "fingerprints.other_code"}
    notes |= {"image.near_duplicate", "image.blank"}
    assert {code for code, (_, remedy) in codes.VERIFY.items() if not remedy} == notes


def test_a_code_that_names_a_place_is_the_same_code():
    assert codes.of("csv.ragged train.csv line 3") == codes.of("csv.ragged")
    assert codes.of("label.bad_value:Edema") == codes.of("label.bad_value")
    assert codes.of("translated.findings") == codes.of("translated")
    assert codes.of("json.field:age", codes.VERIFY) == codes.VERIFY["json.field"]
    assert codes.of("nothing.of_the_kind") == ("", "")


def test_remedies_are_listed_once_and_come_from_the_given_table():
    met = ["json.field:age", "json.field:sex", "image.twice"]
    assert len(codes.remedies(met, table=codes.VERIFY)) == 1
    assert codes.remedies(["image.cut"]) == []
    (line,) = codes.remedies(["image.cut"], table=codes.VERIFY)
    assert line.startswith("image.cut: an image that ends too early")


def test_the_page_has_a_row_for_every_code():
    page = codes.markdown()
    for title, table in codes.PAGE:
        rows = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
        lines = [line for line in rows.splitlines() if line.startswith("| `")]
        assert [line.split("`")[1] for line in lines] == list(table)
        assert all(line.count("|") == 4 for line in lines)
