"""Real images and reports in the layouts: found, read, kept together, and called synthetic."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from cxr_vlp.pipelines.synthetic.cases.real_content import (
    Content,
    ContentError,
    RealImage,
    RealReport,
    find_images,
    load,
    read_reports,
)
from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic, nih, openi
from cxr_vlp.pipelines.synthetic.reports.report_text import real_mimic_text

LONG = "The heart is of ordinary size and " + "the lungs are clear and " * 12 + "that is all."
TSV = [("Clear lungs.", "Nothing acute."), (LONG, ""), ("", "XXXX seen on XXXX/XXXX.")]


def save(path: Path, value: int, shape=(60, 50), dtype=np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, value, shape[0] * shape[1]).reshape(shape).astype(dtype)
    cv2.imwrite(str(path), ramp)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Six images of three people, with a table of patients and views."""
    folder = tmp_path / "image_folder" / "png"
    rows = ["patient_id,image_id,projection"]
    for i, (who, view) in enumerate(zip("aabbbc", ("pa", "ap", "PA", "l", "", "ap"), strict=True)):
        save(folder / f"{i}.png", 100 + i)
        rows.append(f"{who},{i},{view}")
    (folder.parent / "data.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def content(image_folder: Path) -> Content:
    reports = tuple(
        RealReport({"indication": "", "comparison": "", "findings": f, "impression": i})
        for f, i in TSV
    )
    return Content(find_images(image_folder), reports)


def truth(out: Path, source: str) -> list[dict]:
    return [json.loads(line) for line in (out / f"{source}.truth.jsonl").read_text().splitlines()]


def test_images_are_found_sorted_with_their_views(image_folder: Path):
    save(image_folder / "deep" / "z.jpg", 9)
    (image_folder / "notes.txt").write_text("no image")
    found = find_images(image_folder)
    assert [p.path.name for p in found] == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "4.png",
        "5.png",
        "z.jpg",
    ]
    assert [p.view for p in found] == ["PA", "AP", "PA", "LATERAL", "PA", "AP", "PA"]
    assert [p.patient for p in found] == ["a", "a", "b", "b", "b", "c", ""]


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)], ids=["8-bit", "16-bit"]
)
def test_an_image_is_scaled_by_its_depth(tmp_path: Path, dtype, top: int):
    save(tmp_path / "a.png", top, dtype=dtype)
    pixels = load(RealImage(tmp_path / "a.png"), height=512)
    assert pixels.shape == (60, 50)  # shrunk where taller, never enlarged
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)
    assert load(RealImage(tmp_path / "a.png"), height=30).shape == (30, 25)


def test_a_broken_image_is_named_by_its_place_not_its_name(tmp_path: Path):
    (tmp_path / "jane_doe.png").write_bytes(b"no image")
    with pytest.raises(ContentError, match="image 1 of") as error:
        load(find_images(tmp_path)[0], height=64)
    assert "jane" not in str(error.value)


def archive(path: Path, *bodies: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for i, body in enumerate(bodies):
            info = tarfile.TarInfo(f"ecgen-radiology/{i}.xml")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def test_reports_of_an_archive(tmp_path: Path):
    one = (
        b'<e><AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION"/>'
        b"<MeSH><major>normal</major><automatic>Edema</automatic></MeSH></e>"
    )
    empty = b'<e><AbstractText Label="FINDINGS"/></e>'
    (report,) = read_reports(archive(tmp_path / "r.tgz", one, empty))
    assert report.sections["findings"] == "Clear."
    assert report.sections["impression"] == ""
    assert (report.major, report.automatic) == (("normal",), ("Edema",))


def test_reports_of_a_table(tmp_path: Path):
    (tmp_path / "r.csv").write_text('findings,impression\n"Clear, all of it.",None\n,\n')
    (report,) = read_reports(tmp_path / "r.csv")
    assert report.sections["findings"] == "Clear, all of it."
    assert report.sections["impression"] == "None"
    assert report.sections["indication"] == ""


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        pytest.param("FINDINGS: A b.\nIMPRESSION: C.\n", "A b.", "C.", id="headings"),
        pytest.param(" Findings:\n A\n b.\n", "A b.", "", id="lower-case-and-wrapped"),
        pytest.param("Clear lungs.\n", "Clear lungs.", "", id="no-heading"),
        pytest.param("The impression: none", "The impression: none", "", id="word-in-a-line"),
    ],
)
def test_reports_of_a_folder(tmp_path: Path, text: str, findings: str, impression: str):
    (tmp_path / "a.txt").write_text(text)
    (report,) = read_reports(tmp_path)
    assert report.sections["findings"] == findings
    assert report.sections["impression"] == impression


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("r.pdf", b"", "is no .tgz", id="unknown-kind"),
        pytest.param("r.csv", b"a,b\n1,2\n", "neither a column", id="no-columns"),
        pytest.param("r.tgz", b"not gzip", "damaged", id="no-archive"),
        pytest.param("r.csv", b"findings\n\n", "no report with", id="nothing-in-it"),
    ],
)
def test_unusable_reports_are_refused(tmp_path: Path, name: str, content: bytes, says: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContentError, match=says):
        read_reports(tmp_path / name)


@pytest.mark.parametrize(("findings", "impression"), TSV, ids=["short", "long", "masked"])
def test_mimic_text_keeps_the_words_and_the_form(findings: str, impression: str):
    sections = {"indication": "", "comparison": "", "findings": findings, "impression": impression}
    text = real_mimic_text(sections)
    lines = text.splitlines()
    assert all(line.startswith(" ") and len(line) <= 79 for line in lines)
    assert "XXXX" not in text
    words = " ".join(text.split())
    for body in (findings, impression):
        assert body.replace("XXXX", "___") in words


def test_a_persons_images_stay_in_one_split(tmp_path: Path, content: Content):
    mimic.write(tmp_path, studies=20, height=40, content=content)
    lines = truth(tmp_path, "mimic")
    assert len(lines) == 20
    whose, splits = {p.path.stem: p.patient for p in content.images}, defaultdict(set)
    pixels = {load(p, height=40).tobytes(): whose[p.path.stem] for p in content.images}
    for line in lines:
        dataset = pydicom.dcmread(tmp_path / "mimic" / line["images"][0]["path"])
        splits[owner(dataset, pixels)].add(line["split"])
    assert set(splits) == {"a", "b", "c"}
    assert all(len(found) == 1 for found in splits.values())


def owner(dataset: pydicom.Dataset, pixels: dict[bytes, str]) -> str:
    """Return whose image this is: the nearest of the originals."""
    values = dataset.pixel_array.astype(float)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 2**dataset.BitsStored - 1 - values
    top = 2 ** (12 if dataset.BitsStored == 16 else dataset.BitsStored) - 1
    seen = (values / top - 0.04) / (0.86 - 0.04)

    def distance(raw: bytes) -> float:
        return float(np.abs(np.frombuffer(raw, np.float32).reshape(seen.shape) - seen).sum())

    return pixels[min(pixels, key=distance)]


@pytest.mark.parametrize("module", [mimic, chexpert, nih, openi], ids=lambda m: m.__name__[20:])
def test_the_truth_marks_real_content_as_a_synthetic_pairing(
    tmp_path: Path, content: Content, module
):
    source = module.__name__.rsplit(".", 1)[1]
    module.write(tmp_path, studies=6, height=40, content=content)
    lines = truth(tmp_path, source)
    assert {line["pairing"] for line in lines} == {"synthetic"}
    assert {line["labels_from"] for line in lines} == {"invented"}
    assert all(line["sentences"] == [] for line in lines)
    assert all(image["boxes"] == [] for line in lines for image in line["images"])


def test_nih_takes_no_lateral(tmp_path: Path, content: Content):
    nih.write(tmp_path, studies=10, height=40, content=content)
    views = {image["view"] for line in truth(tmp_path, "nih") for image in line["images"]}
    assert views == {"PA", "AP"}


def test_drawn_images_with_real_reports(tmp_path: Path, content: Content):
    mimic.write(tmp_path, studies=3, height=40, content=Content((), content.reports))
    texts = sorted(p.read_text() for p in (tmp_path / "mimic").rglob("s5*.txt"))
    assert texts == sorted(real_mimic_text(report.sections) for report in content.reports)


@pytest.mark.slow
def test_public_images_and_reports_fit_every_layout(tmp_path: Path, shared: Path):
    content = Content(
        find_images(shared / "data" / "hannover_covid19" / "png"),
        read_reports(shared / "data" / "openi" / "NLMCXR_reports.tgz"),
    )
    assert len(content.images) == 243
    assert len(content.reports) == 3927  # of 3,955; 28 have neither findings nor impression
    assert len(content.by_patient()) == 71
    for module in (mimic, chexpert, nih, openi):
        module.write(tmp_path, studies=12, height=64, content=content)
    for path in (tmp_path / "mimic").rglob("*.dcm"):
        assert pydicom.dcmread(path).pixel_array.std() > 0
