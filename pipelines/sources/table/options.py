"""The options of the reader `table`: which columns of which files mean what.

sources:
  clinic:
    preset: table
    root: /data/clinic
    reader:
      table: films.csv
      image: "images/{AccessionNumber}/{File}.dcm"
      patient: PatientID
      study: AccessionNumber
      text: ReportText
      labels: [Pneumonia, Pleural Effusion]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT, Listed, Several, Short
from cxr_vlp.pipelines.format import sample
from cxr_vlp.pipelines.sources.table import values

SECTIONS = ("findings", "impression", *sample.SECTIONS)

# A value of a row: the name of a column (`PatientID`), a pattern of columns
# (`p{PatientID}/{Study}.dcm`), several columns of which the first with a value counts
# ([Projection, ViewPosition]), or a part of a column ({column: Path, pattern: "(patient\\d+)/"}:
# the groups of the pattern, joined by "-"; a value that does not fit is a fault of the row).
Value = Annotated[Any, BeforeValidator(values.checked)]

# The tables of the images: a file, several files, or a file for each split ("": a copy without this
# split). A file is named by its path below the root, its name, or a pattern (`train*.csv`). Of
# `new.csv|old.csv` the first that is there counts.
Tables = Annotated[Any, BeforeValidator(values.checked_tables)]

# findings, impression or another section of the format -> Value
Sections = Mapping[Literal[SECTIONS], Value]  # type: ignore[valid-type]


@dataclass(frozen=True, config=STRICT)
class Labels:
    """Which labels a row gives. `labels: [A, B]` is short for `labels: {columns: [A, B]}`.

    For `columns` and `of`, chexpert14, chestxray14 or vindr stands for all labels of that set.
    """

    columns: Several[str] = ()  # columns of 1, 0, -1 (uncertain) and blank (not mentioned)
    list: str = ""  # or one column of names: "Mass|Nodule", ['mass', 'nodule']
    # between the names of a list, by default "|"; Python's and JSON's lists need none. A cell with
    # known names and another mark between them is noted where no separator is given
    separator: str = ""
    # a column or a name of the list -> label; "" is not a label. Others keep their own names
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Literal[1, 0, -1]] = field(default_factory=dict)  # other words: {yes: 1}
    # positive: what a row does not name is not mentioned; complete: it is negative
    family: Literal["positive", "complete"] = "positive"
    # of a complete family: its labels (default: the columns, or all names). Of a positive list: the
    # names that are labels; others are noted and left out
    of: Several[str] = ()
    # given: as the table has it; derived: 1 where no label of the row is 1 or -1, else 0
    no_finding: Literal["given", "derived"] = "given"
    # who gave them (`labels_from` of the samples), or a pattern of columns ("nlp-{Method}");
    # default: the collection's name
    by: str = ""

    def __post_init__(self) -> None:
        if not (self.columns or self.list or self.names):
            raise ValueError("give columns or list")


@dataclass(frozen=True, config=STRICT)
class Boxes:
    """The box of a row: `corners` (left, top, right, bottom) or `sides` (left, top, width, height).

    A row whose four cells are blank has no box. (Not `size`: DVC hashes no key of that name.)
    """

    corners: Several[str] = ()
    sides: Several[str] = ()
    label: str = ""  # the column of its name
    name: str = ""  # or one name for all
    unit: Literal["pixel", "fraction", "percent"] = "pixel"
    # width and height of the image that pixels are counted in, as numbers or columns; default: of
    # the file
    frame: Listed[int | str] = ()
    phrase: str = ""  # a column with the words that describe the box

    def __post_init__(self) -> None:
        if sorted(map(len, (self.corners, self.sides))) != [0, 4]:
            raise ValueError("give four columns, as corners or as sides")
        if not (self.label or self.name):
            raise ValueError("give label or name")


@dataclass(frozen=True, config=STRICT)
class Masks:
    """The run lengths of a row, of which the smallest box around them is kept."""

    column: Value = ""
    name: str = ""  # of the finding
    # relative: a start counts from the end of the run before (SIIM); absolute: from the first pixel
    start: Literal["relative", "absolute"] = "relative"
    first: Literal[0, 1] = 0  # the number of the first pixel, of absolute starts
    order: Literal["columns", "rows"] = "columns"  # the pixels that follow each other
    frame: Listed[int | str] = ()  # width and height, as numbers or columns
    none: Several[str] = ("-1",)  # what stands where there is no mask: the finding is absent

    def __post_init__(self) -> None:
        if not (self.column and self.name):
            raise ValueError("give column and name")
        if len(self.frame) != 2:
            raise ValueError("give frame, the width and height in which the runs are counted")


@dataclass(frozen=True, config=STRICT)
class Readers:
    """Several readers' rows of one image, and how their labels become one.

    any: positive if one reader says so, else uncertain if one says so. majority: what more than
    half of them say; uncertain if no value has that. unanimous: what all say, else uncertain.
    A box whose label the others outvoted is not kept, and counted.
    """

    column: str = ""  # who read; "": every row of an image is of another reader
    optional: bool = False  # true: a table may lack the column; then each row is another reader's
    merge: Literal["any", "majority", "unanimous"] = "majority"


@dataclass(frozen=True, config=STRICT)
class Also:
    """A further table, whose rows are joined to the images by `image`, or by `study`."""

    table: Tables = ""
    optional: bool = False  # true: a collection may lack the table; false: without it a run stops
    image: Value = ""
    study: Value = ""
    text: Value = ""  # a column with the whole report
    sections: Sections = field(default_factory=dict)
    labels: Annotated[Labels | None, Short(values.labels)] = None
    boxes: Boxes | None = None
    masks: Masks | None = None
    readers: Readers | None = None
    # patient, split, view, sex, age, birth, date -> Value
    facts: Mapping[Literal[values.FACTS], Value] = field(  # type: ignore[valid-type]
        default_factory=dict
    )


@dataclass(frozen=True, config=STRICT)
class Options:
    """All options of the reader; `TableReader` (reader.py) is this class with the methods."""

    # which tables list the images; "" : the only table below the root that has a column of images
    table: Tables = ""
    # columns that are not named here are guessed from common headers; `scan --dry-run` shows them
    guess: bool = True

    # a path, a name or a stem of the image's file. It is found wherever the file is below the root,
    # as long as that is certain (lookup.py)
    image: Value = ""
    files: Several[str] = ()  # patterns of the files that are images: ["CXR_png/*"]; default: all
    prefer: Literal["dicom", "picture"] = "dicom"  # where an image is there in both forms
    # column -> values: an image of such a row is lost with the code image.excluded. Of a list, one
    # entry is enough
    exclude: Mapping[str, Several[str]] = field(default_factory=dict)
    # a column with MONOCHROME1 or MONOCHROME2, of PNG or JPEG files that are stored as they were
    # in DICOM: low values of MONOCHROME1 are white, and are made black
    photometric: Value = ""

    patient: Value = ""  # none: a study is a patient of its own, which is counted
    study: Value = ""  # none: an image is a study of its own
    split: Value = ""  # none: by patient, with the fractions of section `scan`
    # other words for train, validate and test; `train_val` is divided further, by patient
    splits: Mapping[str, Literal["train", "validate", "test", "train_val"]] = field(
        default_factory=dict
    )
    view: Value = ""  # words of a view or a projection, in six languages
    views: Mapping[str, str] = field(default_factory=dict)  # your words -> words that are known
    sex: Value = ""
    age: Value = ""  # years, or as DICOM has it: 058Y
    birth: Value = ""  # instead of the age: a date or year of birth, beside `date`
    date: Value = ""  # of the study; orders a patient's studies, and is never written
    # facts that hold for all images: {view: PA, split: test, sex: F}
    constants: Mapping[Literal["view", "split", "sex", "age"], str] = field(default_factory=dict)

    # a column with the whole report (not `report`: the method of a reader has that name)
    text: Value = ""
    report_file: str = ""  # or the pattern of its file: "reports/{AccessionNumber}.txt"
    # or section -> its column; `text` is then read where findings and impression are blank
    sections: Sections = field(default_factory=dict)
    # of all reports, where it is not English: es. Then none is read, and they are counted. (Of few
    # words the language cannot be told.)
    language: str = ""
    # same: all rows of a study must have one report; first: that of its first image counts, and the
    # labels of that image, which were read from it
    reports: Literal["same", "first"] = "same"

    labels: Annotated[Labels | None, Short(values.labels)] = None
    boxes: Boxes | None = None
    masks: Masks | None = None
    readers: Readers | None = None
    also: Several[Also] = ()

    title: str = ""
    licence: str = "not stated"
    credentialed: bool = True  # false: the data are public, and report text may be shown
