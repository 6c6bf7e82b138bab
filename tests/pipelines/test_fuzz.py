"""Random and damaged bytes for every reader of files: only errors with a code are raised.

The tests are short by default and long under `-m slow`. Files that may crash the process are
decoded in worker processes (test_corpus.py).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_vlp.nlp import annotate
from cxr_vlp.nlp.layout import sections
from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import csv_tables, jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.synthetic.writing import dicom_files as writing
from cxr_vlp.pipelines.validate import manifest as declared

HELD = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def profile(examples: int) -> settings:
    # the same examples in every run, so that a default run is reproducible
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=HELD,
    )  # fmt: skip


def both(examples: int) -> Callable:
    """Mark the two lengths of a test; it is given the settings to use."""
    long = pytest.param(profile(50 * examples), marks=[pytest.mark.slow, pytest.mark.timeout(3000)])
    return pytest.mark.parametrize("length", [profile(examples), long], ids=["short", "long"])


def tried(kind: type[Exception], function: Callable[[], Any]) -> tuple[Any, str]:
    """Return (result, ""), or (None, the message of the expected error)."""
    try:
        return function(), ""
    except kind as error:
        return None, str(error)


def seeds() -> list[tuple[str, bytes]]:
    """Return (suffix, bytes) of small valid files."""
    y, x = np.mgrid[0:80, 0:70]
    values = np.rint(2000 + 1500 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint16)
    header = writing.Header("19999001", "59999001", "0", date="21800101", view="PA")
    made = [
        (".dcm", writing.file_bytes(values, bits=12, photometric="MONOCHROME2", syntax=s,
                                    header=header))
        for s in writing.SYNTAXES
    ]  # fmt: skip
    eight = (values >> 4).astype(np.uint8)
    made += [(f".{form}", cv2.imencode(f".{form}", eight)[1].tobytes()) for form in ("png", "jpg")]
    return [*made, (".png", cv2.imencode(".png", values)[1].tobytes())]


SEEDS = seeds()


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw (suffix, bytes): random bytes, or a valid file with changes in some places."""
    suffix, data = draw(st.sampled_from(SEEDS))
    if draw(st.booleans()):
        changed = bytearray(data)
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(changed)))
            changed[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
        data = bytes(changed)
    else:
        data = draw(st.binary(max_size=300))
    if draw(st.integers(0, 9)) == 0:
        suffix, data = f"{suffix}.gz", gzip.compress(data)
    return suffix, data


@both(80)
def test_the_decoder(length):
    @length
    @given(files())
    def fuzz(file: tuple[str, bytes]) -> None:
        suffix, data = file
        small = Shards(side=64, max_megapixels=1)
        encoded, said = tried(IngestError, lambda: encode.encode(data, suffix, small))
        assert encoded.facts["width"] > 0 if encoded else said.startswith(("dicom.", "image."))

    fuzz()


@both(100)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_csv_reader(length, name, tmp_path):
    piece = st.sampled_from(
        ["a,b\n", '"', ",", "\n", "\r", "\0", "1,2\n", "é\n", ";", "\ufeff", "a" * 99]
    )
    anything = st.binary(max_size=200) | st.lists(piece, max_size=30).map(
        lambda found: "".join(found).encode()
    )

    @length
    @given(anything, st.booleans(), st.sampled_from([None, ("a", "b")]))
    def fuzz(data: bytes, packed: bool, columns: tuple[str, ...] | None) -> None:
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if packed and name.endswith("gz") else data)
        rows, said = tried(DataError, lambda: list(csv_tables.read(path, ("a", "b"), columns)))
        assert said.startswith("csv.") or all(
            set(line.row) >= {"a", "b"} or line.code.startswith("csv.") for line in rows
        )

    fuzz()


WORDS = st.sampled_from([
    "FINDINGS:", "IMPRESSION:", "findings", "No acute", "effusion", "1.", "-", "\n", "\n\n", "(",
    ")", "___", "XXXX", ":", "TECHNIQUE: PA", "FINAL REPORT\n", "and", ",", ".", "\t", "\u2028",
    "é", "\0", "version https://git-lfs", "is no longer seen", "possible", "2.3 cm", "?",
])  # fmt: skip
REPORTS = st.text(max_size=200) | st.lists(WORDS, max_size=60).map(" ".join)


@both(80)
def test_the_section_parser(length):
    @length
    @given(REPORTS)
    def fuzz(text: str) -> None:
        known = ("", "report.empty", "report.lfs_pointer", "report.not_text", "report.no_text")
        assert sections.reason(text) in known
        last = 0
        for section in sections.split(text):
            assert last <= section.start <= section.end <= len(text)
            assert section.text == " ".join(text[section.start : section.end].split())
            last = section.end

    fuzz()


@both(25)
def test_the_annotator(length):
    @length
    @given(REPORTS)
    def fuzz(text: str) -> None:
        done = annotate.annotate(text)
        assert done.code or done.sections is not None

    fuzz()


LONG = ["(", "no ", "FINDINGS: ", "1. ", "and/or ", "no evidence of ", "\n", "a", "? ", "XXXX "]


@pytest.mark.parametrize("piece", LONG)
def test_a_long_repetitive_report_is_annotated_in_time(piece):
    """With backtracking it would take years."""
    sections.split(f"FINDINGS: {piece * 20_000} IMPRESSION: clear.")
    annotate.annotate(f"FINDINGS: {piece * 300} IMPRESSION: clear.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
SOUND = {
    "part": "x", "fingerprint": "f", "file": "train/x.tar", "sha256": "0", "md5": "0", "bytes": 1,
    "lasting": True, "result": {}, "samples": [], "seconds": 0.0, "decoded": 0,
}  # fmt: skip


@st.composite
def entry_files(draw: st.DrawFn) -> bytes:
    """Draw an entry file with a change in one place, or any bytes."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=80))
    name = draw(st.sampled_from([*SOUND, "other"]))
    text = json.dumps(SOUND | {name: draw(JSON)})
    return text[: draw(st.integers(0, 2 * len(text)))].encode()


@both(150)
def test_the_entry_reader(length, tmp_path):
    entries = Entries.of_stage(tmp_path, "shards")
    path = Path(entries.folder) / "x" / "f.json"
    path.parent.mkdir(parents=True)

    @length
    @given(entry_files())
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        found = entries.of("x", "f")
        assert found is None or isinstance(found, Entry)
        assert found is None or (isinstance(found.result, dict) and isinstance(found.file, str))

    fuzz()


def test_a_deeply_nested_entry_is_ignored(tmp_path):
    entries = Entries.of_stage(tmp_path, "shards")
    path = Path(entries.folder) / "x" / "f.json"
    path.parent.mkdir(parents=True)
    path.write_text("[" * 100_000)
    assert entries.of("x", "f") is None


@both(100)
def test_the_manifest_reader(length, built, tmp_path):
    source = built / "shards" / "nih"
    whole = (source / manifest.NAME).read_bytes()

    @length
    @given(st.integers(0, len(whole)), st.binary(max_size=9), st.integers(0, 9))
    def fuzz(at: int, data: bytes, lost: int) -> None:
        (tmp_path / manifest.NAME).write_bytes(whole[:at] + data + whole[at + lost :])
        try:
            assert declared.read(tmp_path).tars
        except FormatError as error:
            assert error.code.startswith("manifest.")  # noqa: PT017 - it may be readable, too

    fuzz()


@both(60)
def test_the_header_reader(length, tmp_path):
    where = (tmp_path, "inventory.json", "scan")

    @length
    @given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
    def fuzz(data: bytes) -> None:
        (tmp_path / "inventory.json").write_bytes(data)
        found, said = tried(ConfigError, lambda: jsonl.read_header(*where))
        named = isinstance(found, dict) and "source" in found
        assert named or "run `cxr-vlp scan` again" in said

    fuzz()
