"""The outcome of each kind of bad input that the documents promise.

Most kinds are tested beside the code that handles them: TESTED names file and test, and a test here
checks that it exists. The other kinds are tested below.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from joining import join, lay
from pydicom.uid import SecondaryCaptureImageStorage

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.imaging import codecs, dicom_file, dicom_pixels, encode
from cxr_vlp.pipelines.sources.mimic import Mimic
from cxr_vlp.pipelines.synthetic.writing import dicom_files as writing
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError as TrainingConfigError

TESTS = Path(__file__).resolve().parents[1]

TESTED = {
    "truncated, no pixels, Rows 0, too large, wrong modality, palette": (
        "pipelines/imaging/test_dicom_header.py", "test_faults_have_codes"),
    "a video syntax": (
        "pipelines/imaging/test_dicom_header.py", "test_a_video_syntax_is_refused_by_name"),
    "a headless file": (
        "pipelines/imaging/test_dicom_header.py",
        "test_a_headless_file_is_read_if_it_has_rows_and_pixels"),
    "a codestream larger than its header": (
        "pipelines/imaging/test_bombs.py", "test_a_bomb_is_refused_before_it_is_decoded"),
    "native crash, hang": (
        "pipelines/executor/test_pool.py",
        "test_an_image_that_kills_its_worker_is_excluded_and_the_rest_is_done"),
    "odd windows, empty VOI LUT": ("pipelines/imaging/test_encode.py", "test_unusual_windows"),
    "several frames, colour": (
        "pipelines/imaging/test_dicom_header.py",
        "test_colour_becomes_luma_and_only_the_first_frame_counts"),
    "1x1, constant, small (PNG and JPEG)": (
        "pipelines/imaging/test_encode.py", "test_faults_have_codes"),
    "12 bits in a 16-bit PNG": (
        "pipelines/imaging/test_encode.py",
        "test_twelve_bits_in_a_sixteen_bit_png_are_neither_black_nor_white"),
    "odd CSV files": (
        "pipelines/files/test_csv_tables.py",
        "test_a_broken_table_stops_with_a_code_and_without_its_content"),
    "an odd label": (
        "pipelines/sources/test_mimic.py", "test_an_invalid_label_is_counted_and_not_guessed"),
    "a row twice, the same": (
        "pipelines/sources/test_chexpert.py", "test_missing_unlisted_and_repeated"),
    "a row twice, contradicting": (
        "pipelines/sources/test_mimic.py", "test_a_contradiction_rejects_only_its_study"),
    "listed and missing": (
        "pipelines/sources/test_mimic.py", "test_a_partial_download_is_accepted"),
    "there and unlisted": (
        "pipelines/sources/test_mimic.py", "test_a_file_that_no_table_lists_is_noted_and_left_out"),
    "more missing than allowed": (
        "pipelines/stages/test_stages.py", "test_missing_fail_stops_with_the_counts"),
    "a report that is none": ("nlp/layout/test_sections.py", "report.lfs_pointer"),
    "a patient in two splits": (
        "pipelines/sources/test_splits_and_parts.py", "test_a_patient_in_two_splits_stops"),
    "a path that leaves the root": (
        "pipelines/files/test_paths_and_jsonl.py", "test_paths_that_leave_the_root_are_refused"),
    "disk full": ("pipelines/files/test_disk.py", "test_a_full_disk"),
    "read-only output": ("pipelines/files/test_disk.py", "test_a_read_only_output"),
    "kill -9": (
        "pipelines/files/test_kill.py", "test_a_run_killed_before_every_one_of_its_changes"),
    "two runs at once": (
        "pipelines/files/test_disk.py",
        "test_a_second_run_names_the_process_that_locks_the_output"),
    "a file that changes": (
        "pipelines/stages/test_stages.py", "test_an_image_that_changed_since_scan_stops"),
    "a checkpoint from elsewhere": ("train/test_fit.py", "pickle.UnpicklingError"),
    "pickles, commands, dotted keys in a tar": (
        "pipelines/validate/test_shard.py", "test_a_tar_that_breaks_the_contract"),
    "the same for the loader": (
        "train/data/test_samples.py", "test_an_invalid_sample_is_refused_and_named_by_its_hash"),
}  # fmt: skip


@pytest.mark.parametrize("row", TESTED)
def test_the_named_test_exists(row):
    file, name = TESTED[row]
    assert name in (TESTS / file).read_text(encoding="utf-8")


def dicom(change: Callable[[Any], None], syntax: str = writing.SYNTAXES[0]) -> bytes:
    grain = np.random.default_rng(0).integers(0, 200, (96, 80))
    values = (np.linspace(0, 3800, 96 * 80).reshape(96, 80) + grain).astype(np.uint16)
    header = writing.Header("19999001", "59999001", "0", date="21800101", view="PA")
    data = writing.file_bytes(
        values, bits=12, photometric="MONOCHROME2", syntax=syntax, header=header
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    change(dataset)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def shape(rows: int, columns: int) -> Callable[[Any], None]:
    def change(dataset: Any) -> None:
        dataset.Rows, dataset.Columns = rows, columns
        dataset.PixelData = dataset.PixelData[: 2 * rows * columns]

    return change


def flat(dataset: Any) -> None:
    dataset.PixelData = bytes(len(dataset.PixelData))


def captured(dataset: Any) -> None:
    dataset.SOPClassUID, dataset.Modality = SecondaryCaptureImageStorage, "OT"


def reported(dataset: Any) -> None:
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "OT"


def dimensions(**values: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.update(values)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(shape(1, 1), "image.degenerate", id="one-pixel"),
        pytest.param(shape(96, 63), "image.degenerate", id="narrow"),
        pytest.param(flat, "image.degenerate", id="constant"),
        pytest.param(reported, "dicom.modality", id="structured-report"),
        pytest.param(dimensions(Columns=0), "dicom.bad_dims", id="columns-zero"),
    ],
)
def test_unusual_images_have_codes(change, code):
    with pytest.raises(IngestError) as error:
        encode.encode(dicom(change), ".dcm", Shards())
    assert error.value.code == code


def test_a_secondary_capture_is_noted_or_rejected_by_parameter():
    data = dicom(captured)
    assert encode.encode(data, ".dcm", Shards()).facts["notes"] == ["dicom.modality"]
    with pytest.raises(IngestError, match=r"dicom\.modality"):
        encode.encode(data, ".dcm", Shards(modality="reject"))


def test_an_unknown_transfer_syntax_has_a_code():
    data = dicom(flat).replace(
        b"UI\x14\0001.2.840.10008.1.2.1\0", b"UI\x14\0001.2.840.10008.1.2.9\0"
    )
    with pytest.raises(IngestError, match=r"dicom\.unsupported_ts"):
        encode.encode(data, ".dcm", Shards())


@pytest.mark.parametrize("stored", [1, 8, 16])
def test_a_wrong_bits_stored_still_gives_an_image(stored):
    data = dicom(dimensions(BitsStored=stored, HighBit=stored - 1))
    encoded = encode.encode(data, ".dcm", Shards(side=64))
    assert encoded.facts["bits"] == stored


class PanicError(BaseException):
    """What a Rust extension raises when it panics; no `except Exception` sees it."""


@pytest.mark.parametrize(
    ("raised", "left"), [(PanicError, IngestError), (KeyboardInterrupt, KeyboardInterrupt)]
)
def test_a_panic_gives_a_code_and_an_interrupt_stays_an_interrupt(monkeypatch, raised, left):
    def panic(_: bytes) -> np.ndarray:
        raise raised

    syntax = writing.SYNTAXES[2]
    monkeypatch.setattr(codecs, "DECODERS", {**codecs.DECODERS, str(syntax): panic})
    dataset = dicom_file.parse(dicom(lambda _: None, syntax))
    with pytest.raises(left) as error:
        dicom_pixels.stored_values(dataset)
    assert raised is KeyboardInterrupt or error.value.code == "dicom.undecodable"


def test_a_link_out_of_the_raw_tree_is_a_reject(tmp_path):
    folder = "files/p19/p19999001/s59999001"
    inside, outside = (f"{n}0000000-0000000{n}-00000000-00000000-00000000.dcm" for n in (1, 2))
    root = lay(tmp_path / "raw", {f"{folder}/{inside}": b"x", f"{folder}.txt": "FINDINGS: none"})
    (tmp_path / "secret.dcm").write_bytes(b"secret")
    (root / folder / outside).symlink_to(tmp_path / "secret.dcm")
    joined = join(Mimic(), root)
    assert joined.codes() == {"path.escape": 1}
    assert joined.balanced()


@pytest.mark.parametrize(
    "name", ["pipe:touch run", "pipe:touch run|/train", "http://127.0.0.1:9/x"]
)
def test_commands_and_addresses_are_not_accepted_as_folders_of_shards(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingConfigError, match="no such folder"):
        list_shards([Path(name)], "train")
    assert not list(manifest.sets(Path(name)))
    assert not list(tmp_path.iterdir())
