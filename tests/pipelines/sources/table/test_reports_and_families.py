"""The reader table: sections beside a whole report, published sets of labels, twins of an image."""

from __future__ import annotations

import pytest
from joining import join, lay

from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14
from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.sources.table.lookup import Disk
from cxr_vlp.pipelines.stages import parameter_check

IMAGES = dict.fromkeys(("a/1.png", "a/2.png", "a/3.png", "a/10.png"), b"1")


def reader(**options):
    return sources.reader("clinic", {"guess": False, "image": "file", **options}, preset="table")


@pytest.mark.parametrize(
    ("short", "columns", "of"),
    [("chexpert14", CHEXPERT14, ()), ({"columns": "chexpert14"}, CHEXPERT14, ()),
     ({"list": "names", "of": "chestxray14"}, (), CHESTXRAY14), (["A"], ("A",), ())],
)  # fmt: skip
def test_a_published_set_stands_for_its_labels(short, columns, of):
    labels = reader(labels=short).labels
    assert (labels.columns, labels.of) == (columns, of)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "chexpert15"}, r"reader\.labels: expected keys and values"),
        ({"labels": {"columns": "Edema"}}, r"labels\.columns: expected a list .*write \[Edema\]"),
        ({"sections": {"finding": "x"}}, r"expected one of findings, .*did you mean findings\?"),
        ({"sections": {"findings": 3}}, r"sections\.findings: expected a column"),
    ],
)
def test_a_misspelt_set_or_section_stops_with_what_there_is(options, message):
    with pytest.raises(ConfigError, match=message):
        reader(**options)


@pytest.mark.parametrize(
    ("cells", "report"),
    [
        ("Clear.,,Old.,Whole.", {"findings": "Clear.", "history": "Old."}),
        (",Normal.,,Whole.", {"impression": "Normal."}),
        (",,Old.,Whole.", "Whole."),
        (",,Old.,", {"history": "Old."}),
        (",,,", None),
    ],
)
def test_the_whole_report_counts_where_no_section_says_what_was_seen(tmp_path, cells, report):
    lay(tmp_path, {"films.csv": f"file,f,i,h,r\na/1.png,{cells}\n", **IMAGES})
    sections = {"findings": "f", "impression": "i", "history": "h"}
    made = reader(table="films.csv", sections=sections, text="r")
    [study] = join(made, tmp_path).studies.values()
    found = study.report and made.report(tmp_path.resolve(), study.report).report
    assert found == report


ROWS = [("10", "Tenth.", "1"), ("3", "Third.", "0"), ("2", "Second.", "-1")]


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_the_first_image_by_number_gives_report_and_labels(tmp_path, rows):
    lines = "".join(f"a/{n}.png,7,{text},{value}\n" for n, text, value in rows)
    lay(tmp_path, {"films.csv": "file,study,r,Edema\n" + lines, **IMAGES})
    options = {"table": "films.csv", "study": "study", "text": "r", "labels": ["Edema"]}
    made = reader(**options, reports="first")
    joined = join(made, tmp_path)
    [study] = joined.studies.values()
    assert [image.key for image in study.images] == ["2", "3", "10"]
    assert made.report(tmp_path.resolve(), study.report).report == "Second."
    assert study.labels == {"Edema": -1}
    assert joined.notes["label.differs"] == 1
    refused = join(reader(**options), tmp_path)
    assert set(refused.codes()) <= {"csv.conflict", "report.conflict"}
    assert not refused.studies


TWINS = ("Anonymized/x/y/i.dcm", "images/x/y/i.png")
OTHERS = ("ct/1.dcm", "images/1.png")


@pytest.mark.parametrize(
    ("files", "stated", "prefer", "found"),
    [
        (TWINS, TWINS[0], "dicom", (TWINS[0], 1)),
        (TWINS, TWINS[0], "picture", (TWINS[1], 1)),
        (TWINS, TWINS[1], "dicom", (TWINS[0], 1)),
        # a file of that name in another folder is another image
        (OTHERS, OTHERS[1], "dicom", (OTHERS[1], 0)),
        (OTHERS, OTHERS[0], "picture", (OTHERS[0], 0)),
    ],
)
def test_a_twin_is_the_same_image_in_another_form(files, stated, prefer, found):
    tail = stated.rpartition("/")[2].partition(".")[0]
    assert Disk({tail: files}).find(stated, tail, prefer) == found


def test_two_files_of_one_form_are_not_chosen_from():
    files = ("C/p/v.dcm", "U/p/v.dcm", "PNG/p/v.png")
    assert Disk({"v": files}).find("t/p/v.jpg", "v", "picture") == ("PNG/p/v.png", 2)
    with pytest.raises(IngestError, match=r"image\.ambiguous"):
        Disk({"v": files}).find("t/p/v.jpg", "v", "dicom")


def test_parameters_that_hold_tuples_at_any_depth_equal_their_json():
    recorded = [{"labels": {"columns": ["A", "B"]}, "flag": True}]
    now = ({"labels": {"columns": ("A", "B")}, "flag": True},)
    assert not list(parameter_check._different("x", recorded, now))
    other = ({"labels": {"columns": ("A", "B")}, "flag": 1},)
    assert list(parameter_check._different("x", recorded, other))
