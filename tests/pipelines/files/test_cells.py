"""Changes to ids and numbers by pandas and spreadsheets are undone if the value is certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells

MISSING = ["", " ", "nan", "NaN", "None", "NA", "null", "<NA>", "NULL", "N/A", "NaT", " nan "]


@pytest.mark.parametrize("cell", MISSING)
def test_every_spelling_of_a_missing_value_is_recognised(cell):
    assert cells.known(cell) == ""
    assert cells.plain(cell) == ""
    assert cells.number(cell) is None
    with pytest.raises(IngestError, match=r"csv\.id"):
        cells.identifier(cell, 8)


@pytest.mark.parametrize("cell", ["None.", "Nan.", "no", "NANTES"])
def test_a_text_that_begins_like_a_missing_value_is_text(cell):
    assert cells.known(cell) == cell


@given(st.integers(10_000_000, 99_999_999))
def test_an_id_is_restored_from_every_spreadsheet_form(number):
    text = str(number)
    power = f"{text[0]}.{text[1:].rstrip('0') or '0'}"
    for cell in (
        text, f"{text}.0", f"{text}.00", f" {text} ", f"s{text}", f"S{text}", f"{number:,}",
        f"{number:,}.0", f"{power}E7", f"{power}e7", f"{number:.7e}",
    ):  # fmt: skip
        assert cells.identifier(cell, 8, "s") == text


@pytest.mark.parametrize(
    "cell",
    ["5.04E+07", "5.0e+07", "5041426", "504142670", "50414267.5", "50,41,4267", "5041426x",
     "-50414267", "1E99", "٥٠٤١٤٢٦٧", "50414267 50414268", "p50414267", "0x3012345"],
)  # fmt: skip
def test_a_rounded_or_invalid_id_is_refused(cell):
    with pytest.raises(IngestError, match=r"csv\.id"):
        cells.identifier(cell, 8, "s")


def test_lost_leading_zeros_are_restored_if_the_width_is_known():
    assert cells.identifier("3", 8, pad=True) == "00000003"
    assert cells.identifier("3.0", 8, pad=True) == "00000003"
    assert cells.identifier("1.0E7", 8) == "10000000"


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1.0), ("-2.5", -2.5), ("1e3", 1000.0), ("inf", None), ("1e999", None), ("0x1", None),
     ("1_000", None), ("--1", None)],
)  # fmt: skip
def test_a_number_is_finite_or_none(cell, value):
    assert cells.number(cell) == value
