"""Every code that a reject row or a note can carry: what it means and what to do about it.

A remedy of "" says that nothing is to be done: the code only counts something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Entry = tuple[str, str]  # (meaning, remedy)

SCAN: Mapping[str, Entry] = {
    "age.bad_value": ("an age that is none", ""),
    "box.bad_value": ("a box without area, outside its image, or not of four numbers", ""),
    "csv.bomb": ("a .gz that unpacks to a hundred times its size", "unpack it yourself"),
    "csv.cell_too_long": ("a cell of more than a million characters", "mend the line"),
    "csv.conflict": ("rows of one study that contradict each other", "mend the table"),
    "csv.duplicate_column": ("two columns of one name", "download the table again"),
    "csv.encoding": ("a line that is not UTF-8 text", "save the table as UTF-8"),
    "csv.gzip": ("a broken gzip file", "download it again"),
    "csv.header": ("a table without a column that is needed", "download the table again"),
    "csv.id": ("an id that is missing, rounded or of another form", "mend the line"),
    "csv.image": ("an image's name that is none of the collection", "mend the line"),
    "csv.no_row": ("a table of images that has a header and no row", "download it again"),
    "csv.not_file": ("a table that is no plain file", "put the file itself there"),
    "csv.number": ("a number that is none", ""),
    "csv.path": ("a path that names no image", "mend the line"),
    "csv.quote": ("a quote that is wrong or never ends", "mend the line"),
    "csv.ragged": ("a row with more or fewer fields than the header", "mend the line"),
    "csv.repeated_row": ("a row that says again what another said", ""),
    "csv.row_too_long": ("a row of more than four million bytes", "mend the line"),
    "csv.unreadable": ("a table that cannot be read", "mend its permissions"),
    "date.bad_value": ("a date that is none; the study's place in time is not known", ""),
    "digests.line": ("a list of digests that is none", "download it again, or digests: read"),
    "folder.unreadable": ("a folder that may not be read", "mend its permissions"),
    "id.normalised": ("an id that a spreadsheet had made a number of, read as it was", ""),
    "image.duplicate_file": ("a second file of an image; one is used", ""),
    "image.missing": ("an image that is listed and not on disk", "finish the download"),
    "image.not_file": ("a FIFO, socket or device in an image's place", "put the file there"),
    "image.unlisted": ("an image on disk that no table lists", ""),
    "image.unreadable": (
        "an image file that cannot be read or decoded",
        "download it again, or mend its permissions",
    ),
    "label.bad_value": ("a label that is neither 1, 0, -1 nor blank", "mend the table"),
    "label.missing": ("a study whose labels the tables do not give", ""),
    "list.image": ("a line of a list that is no image's name", "mend the line"),
    "path.encoding": ("a path that is not UTF-8", "rename the file or its folder"),
    "path.escape": (
        "a path or link that leads out of the root",
        "set `links: true` for this source, if the link is meant",
    ),
    "path.loop": ("a link that leads to itself", "put the file there"),
    "split.conflict": ("a study in two splits of the official list", "mend the list"),
    "split.two": ("a patient in two splits: a model would be tested on its training", "mend it"),
    "split.unknown": ("a split that is not train, validate or test", "mend the list"),
    "split.unlisted": ("a study that the official list does not name", ""),
    "study.no_image": ("a report that has no image", ""),
    "study.two_patients": ("a study under two patients", "mend the table or the tree"),
    "view.unknown": ("an image whose view nothing tells; evaluations of frontals leave it out", ""),
}

TEXTS: Mapping[str, Entry] = {
    "labels.contradict": ("labels that contradict each other; what is positive is said", ""),
    "exceptions.unused": ("an exception for a study that is not there", ""),
    "report.archive": ("a .tgz of reports that is cut, or is a bomb", "download it again"),
    "report.cp1252": ("a report that is not UTF-8, read as Windows-1252", ""),
    "report.cut_by_rule": ("a report cut by a rule of texts.exceptions", ""),
    "report.empty": ("a report that holds no text", ""),
    "report.encrypted": ("a report that is encrypted in its archive", "unpack it yourself"),
    "report.lfs_pointer": ("a pointer of git-lfs", "fetch the file: git lfs pull"),
    "report.missing": ("a study without a report", ""),
    "report.no_row": ("images that are listed, and whose report is not", "mend the table"),
    "report.no_text": ("a report that says nothing", ""),
    "report.not_file": ("a FIFO, socket or device in a report's place", "put the file there"),
    "report.not_text": ("RTF, a web page, a PDF, a pointer or binary data", "fetch the text"),
    "report.too_long": ("a report of more than a megabyte", ""),
    "report.unreadable": ("a report that cannot be read or unpacked", "download it again"),
    "report.utf16": ("a report in UTF-16, read as such", ""),
    "report.xml": ("a report that is not whole XML, or has a DTD", "download it again"),
    "report.zip": ("a zip of reports that is cut, or is a bomb", "download it again"),
    "text.none": ("a study with neither a report nor a label to make a text of", ""),
    "translated": ("a section that translations.FIELDS has in other words", ""),
}

SHARDS: Mapping[str, Entry] = {
    "decode.crash": ("a picture at which a decoder crashed", ""),
    "decode.timeout": ("a picture that took too long to decode", "raise --image-timeout"),
    "dicom.bad_dims": ("a DICOM file without rows or columns", ""),
    "dicom.bits": ("a DICOM file of neither 8 nor 16 bits", ""),
    "dicom.aspect_ignored": ("a ratio of pixel sides that is absurd, and was not used", ""),
    "dicom.bits_wrong": ("BitsStored or HighBit that lie; the values tell the depth", ""),
    "dicom.body_part": (
        "BodyPartExamined is no word for the chest",
        "kept by default, set `shards.body_part: reject` to leave it out",
    ),
    "dicom.colour": ("a palette that cannot be read", ""),
    "dicom.damaged_frame": ("an image that is cut or rotten inside its file", "download it again"),
    "dicom.empty": ("a file of no bytes", "download it again"),
    "dicom.for_processing": (
        "detector values that were not made for display (FOR PROCESSING)",
        "kept by default, set `shards.for_processing: reject` to leave it out",
    ),
    "dicom.frames": ("a DICOM file of several frames; the first is used", ""),
    "dicom.modality": (
        "a modality that is no projection radiography",
        "OT, SC and such are kept by default, set `shards.modality: reject` to leave them out",
    ),
    "dicom.no_pixels": ("a DICOM file without pixels", "download it again"),
    "dicom.not_dicom": ("a file that is no DICOM file", "download it again"),
    "dicom.rescale_ignored": ("a rescale slope of 0 or no number; stored values are shown", ""),
    "dicom.truncated": ("a DICOM file that is cut", "download it again"),
    "dicom.undecodable": ("pixels that no decoder reads", ""),
    "dicom.unsupported_ts": ("a transfer syntax that nothing here decodes", ""),
    "image.degenerate": ("an image of one value, or of a few pixels", ""),
    "image.digest": ("a file that is not the published one", "download it again"),
    "image.implausible": (
        "an image that is no picture: black, white, a stencil, or lost rows",
        "look at the file; no window of it, nor the range of its values, shows a radiograph",
    ),
    "image.io": ("a file that could not be read", ""),
    "image.too_large": ("an image of more than shards.max_megapixels", "raise it"),
    "image.unencodable": ("a picture that could not be written", ""),
    "file.suffix": ("a file whose name ends otherwise than its content; the content decides", ""),
    "grey.stretched": ("an image without a usable window, shown by the range of its values", ""),
    "key.bad": ("ids that make a key that loaders would cut", "set `ids: salted` for this source"),
    "lut.depth_wrong": ("a VOI LUT whose descriptor lies; its entries tell the depth", ""),
    "lut.implausible": ("a VOI LUT that shows no radiograph; the next rule was used", ""),
    "orientation.mirrored": ("a frontal image that says it is mirrored", "see `shards.orient`"),
    "orientation.rotated": ("a frontal image that says it is rotated", "see `shards.orient`"),
    "orientation.upside_down": (
        "a frontal image that says it is upside down",
        "see `shards.orient`",
    ),
    "padding.implausible": ("a padding value that most of the image has, and was not used", ""),
    "text.empty": ("a study that has none of the texts chosen", "name more in shards.caption"),
    "window.implausible": ("a window that shows no radiograph; the next rule was used", ""),
    "picture.too_large": ("a stored picture that is too large", ""),
    "picture.unreadable": ("a picture that cannot be read", "download it again"),
    "source.changed": ("a file that changed since scan", "run scan again"),
    "source.gone": ("a file that vanished since scan", "run scan again"),
}

ALL: Mapping[str, Entry] = {**SCAN, **TEXTS, **SHARDS}


def of(code: str) -> Entry:
    """Return (meaning, remedy) of a code, also of one that names a place or a column behind it.

    ("", "") for a code that is not registered; a test looks for those.
    """
    name = code.split(" ")[0].split(":")[0]
    return ALL.get(name) or ALL.get(name.split(".")[0]) or ("", "")


def remedies(met: Iterable[str], views_from: str = "") -> list[str]:
    """Return a line for each code that was met and after which something is to be done."""
    lines = dict.fromkeys(advice(code, views_from) for code in met)
    return [line for line in lines if line]


def advice(code: str, views_from: str) -> str:
    """Return a line that explains a code, "" for one after which nothing is to be done."""
    name = code.split(" ")[0].split(":")[0]
    meaning, remedy = of(code)
    if name == "view.unknown" and views_from:
        remedy = f"the view is told by {views_from}"
    return f"{name}: {meaning}; {remedy}" if remedy else ""
