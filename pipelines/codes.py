"""The registry of all codes: what each means and what to do about it.

Reject rows and notes of the stages (SCAN, TEXTS, SHARDS, SELECT), breaches and notes of `verify`
(VERIFY), and the messages with which a run stops (STOPS) have a code. A remedy of "" says that
there is nothing to do: such a code is only counted.

    python -m cxr_vlp.pipelines.codes       # the page of all codes, as Markdown
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

Explanation = tuple[str, str]  # (meaning, remedy)

SCAN: Mapping[str, Explanation] = {
    "age.bad_value": ("an age that is not a number of years", ""),
    "archive.broken": (
        "a zip or tar that is cut, damaged or split, or none at all; `scan` stops if an image or "
        "a report is missing, which it may hold",
        "download it again, or move it out of the root",
    ),
    "archive.damaged": ("a member of an archive that is damaged", "download the archive again"),
    "archive.encrypted": ("a member of an archive that is encrypted", "unpack the archive"),
    "archive.link": (
        "a link or a device inside an archive",
        "unpack the archive, if the link is meant",
    ),
    "archive.method": (
        "a member that is packed in another way than stored or deflated, or is a sparse file",
        "unpack the archive with `7z x`, or a sparse tar with `tar -xf`",
    ),
    "archive.name": (
        "a member whose name leads out of its archive (absolute, `..`, NUL); it is never read",
        "",
    ),
    "archive.nested": (
        "an archive inside an archive, which is not opened",
        "unpack the outer one, if the inner one holds images",
    ),
    "archive.packed": (
        "an archive that is not read in place: only zip and plain tar are",
        "unpack it where it is, if it holds images: `tar -xf` for .tar.gz, .tgz and .tar.zst, "
        "`7z x` for .7z and split files",
    ),
    "archive.twice": ("a member whose name occurs again in its archive; the last is used", ""),
    "archive.unreadable": ("an archive that cannot be read", "correct its permissions"),
    "box.bad_value": (
        "a box without area, outside its image, or not of four numbers",
        "correct the table, or how its boxes are given (unit, frame, corners or sides)",
    ),
    "box.contradicts": ("a box of a finding that the labels of its study say is absent", ""),
    "box.outside": (
        "a box that leads out of its image, which has another size than the one it was drawn on",
        "use the files as published, or give the size in reader.boxes.frame, or leave the boxes "
        "out: reader.boxes null, and reader.also without those of a further table",
    ),
    "box.outvoted": ("a box of a finding that most of the image's readers did not see", ""),
    "csv.bomb": ("a .gz that unpacks to a hundred times its size", "unpack it yourself"),
    "csv.cell_too_long": ("a cell of more than a million characters", "correct the line"),
    "csv.conflict": ("rows of one study that contradict each other", "correct the table"),
    "csv.duplicate_column": ("two columns with one name", "download the table again"),
    "csv.encoding": ("a line that is not UTF-8 text", "save the table as UTF-8"),
    "csv.gzip": ("a broken gzip file", "download it again"),
    "csv.header": ("a table without a column that is needed", "download the table again"),
    "csv.id": ("an id that is missing, rounded or of another form", "correct the line"),
    "csv.image": ("an image name that is not of this collection", "correct the line"),
    "csv.no_row": ("a table of images that has a header and no row", "download it again"),
    "csv.not_file": ("a table that is not a plain file", "put the file itself there"),
    "csv.number": ("a cell that should be a number and is not", ""),
    "csv.object": ("a line or an entry that is no JSON object", "correct the line"),
    "csv.parquet": ("a Parquet file that is cut or damaged", "download it again"),
    "csv.path": ("a path that names no image", "correct the line"),
    "csv.quote": ("a quote that is wrong or never ends", "correct the line"),
    "csv.ragged": ("a row with more or fewer fields than the header", "correct the line"),
    "csv.repeated_row": ("a row that repeats another", ""),
    "csv.row_too_long": ("a row of more than four million bytes", "correct the line"),
    "csv.unreadable": ("a table that cannot be read", "correct its permissions"),
    "csv.unmatched": ("a row of a further table whose image or study no other table lists", ""),
    "date.bad_value": ("a date that is not valid; the order of the study is unknown", ""),
    "digests.line": (
        "a list of digests that is not in the format of sha256sum",
        "download it again, or set `digests: read`",
    ),
    "file.not_film": ("a CT volume or a mask among the films; it is not read", ""),
    "folder.unreadable": ("a folder that may not be read", "correct its permissions"),
    "id.normalised": ("an id that a spreadsheet had changed into a number, and was restored", ""),
    "image.ambiguous": (
        "an image that may be one of several files in different folders",
        "state the folder in the table, or in reader.image, or narrow reader.files",
    ),
    "image.duplicate_file": ("a second file of an image; one is used", ""),
    "image.excluded": ("an image that the collection itself excludes", ""),
    "image.missing": ("an image that is listed and not on disk", "finish the download"),
    "image.no_header": (
        "an image whose side file is absent or broken, or does not say which values are white",
        "finish the download",
    ),
    "image.not_file": ("a FIFO, socket or device in place of an image", "put the file there"),
    "image.unlisted": ("an image on disk that no table lists", ""),
    "image.unreadable": (
        "an image file that cannot be read or decoded",
        "download it again, or correct its permissions",
    ),
    "json.broken": ("a table in JSON that is cut or broken", "download it again"),
    "json.lists": ("lists of one study that differ in length; the shorter one is not used", ""),
    "json.not_file": ("a table in JSON that is not a plain file", "put the file itself there"),
    "json.unreadable": ("a table in JSON that cannot be read", "correct its permissions"),
    "label.bad_value": (
        "a label that is not 1, 0, -1 or blank, or a cell that is no list of names",
        "correct the table, or for your own give labels.values, labels.names or labels.separator",
    ),
    "json.entry": ("an object of a JSON document without an id or images", "correct it"),
    "label.differs": ("labels of a study's images that differ; those of its first are used", ""),
    "label.missing": ("a study whose labels the tables do not give", ""),
    "layer.bad_row": ("a row of a layer without an image, a label or a size", "correct the row"),
    "layer.bad_value": ("a change that is not improving, stable or worsening", "correct the table"),
    "layer.box": ("a box of a layer without area, or outside its image; it is left out", ""),
    "layer.broken": ("a file of a layer that cannot be read", "download it again"),
    "layer.conflict": (
        "rows of a layer that contradict each other; none of them is used",
        "correct the table",
    ),
    "layer.empty": ("a layer of whose rows none can be used", "download it again"),
    "layer.repeated_row": ("a row of a layer that repeats another", ""),
    "layer.unmatched": (
        "rows of a layer that name images which are not in the inventory",
        "finish the download of these images, if you want them",
    ),
    "leave_out.image": ("an image that a list of sources.NAME.leave_out names", ""),
    "leave_out.nobody": (
        "a list of sources.NAME.leave_out that names nobody of the collection: nothing is left out",
        "look at its ids and at `column`; say in `ids` whether they are of a patient, a study or "
        "an image",
    ),
    "leave_out.patient": ("an image of a patient that a list of leave_out names", ""),
    "leave_out.study": ("an image of a study that a list of leave_out names", ""),
    "leave_out.unmatched": (
        "an id of a leave_out list that names no usable image here, so it leaves nothing out",
        "it may be of a part that was not downloaded, or of another collection; where the lists "
        "name images by bare ids, a column of paths or patients is safer",
    ),
    "label.reading": ("a reading that contradicts the label in the film's name", ""),
    "list.image": ("a line of a list that is not the name of an image", "correct the line"),
    "mask.bad_value": ("a mask whose runs are no pairs of numbers, or leave the image", ""),
    "path.encoding": ("a path that is not UTF-8", "rename the file or its folder"),
    "path.escape": (
        "a path or link that leads out of the root",
        "set `links: true` for this source, if the link is meant",
    ),
    "path.loop": ("a link that leads to itself", "put the file there"),
    "patient.unknown": (
        "a study without a patient, which counts as a patient of its own",
        "",
    ),
    "report.conflict": (
        "a study whose rows have different reports",
        "correct the table, or set reader.reports: first",
    ),
    "sex.bad_value": ("a sex that is none of the known words", ""),
    "split.conflict": ("a study in two splits of the official list", "correct the list"),
    "split.two": (
        "a patient in two splits: a model would be tested on its training data",
        "correct the list of splits",
    ),
    "split.unknown": ("a split that is not train, validate or test", "correct the list"),
    "split.unlisted": ("a study that the official list does not name", ""),
    "study.no_image": ("a report that has no image", ""),
    "study.two_patients": ("a study of two patients", "correct the table or the tree"),
    "view.unknown": (
        "an image whose view is unknown; evaluations of frontal images leave it out",
        "",
    ),
}

TEXTS: Mapping[str, Explanation] = {
    "labels.contradict": ("labels that contradict each other; the positive ones are used", ""),
    "exceptions.unused": ("an exception for a study that does not exist", ""),
    "report.archive": ("a .tgz of reports that is cut, or is a bomb", "download it again"),
    "report.cp1252": ("a report that is not UTF-8 and was read as Windows-1252", ""),
    "report.cut_by_rule": ("a report cut by a rule of texts.exceptions", ""),
    "report.empty": ("a report of no bytes, or of blanks", ""),
    "report.encrypted": ("a report that is encrypted in its archive", "unpack it yourself"),
    "report.language": (
        "a report that is not in English; no text of it is used",
        "translate it, if its findings are to be used",
    ),
    "report.lfs_pointer": ("a pointer of git-lfs", "fetch the file: git lfs pull"),
    "report.missing": ("a study without a report", ""),
    "report.no_row": (
        "a study whose images are listed and whose report is not",
        "correct the table",
    ),
    "report.no_text": ("a report without any text", ""),
    "report.not_file": ("a FIFO, socket or device in place of a report", "put the file there"),
    "report.not_text": ("RTF, a web page, a PDF, a pointer or binary data", "fetch the text"),
    "report.other_form": ("a report that is there in a second form, which is not used", ""),
    "report.too_long": ("a report of more than a megabyte", ""),
    "report.unreadable": ("a report that cannot be read or unpacked", "download it again"),
    "report.utf16": ("a report in UTF-16, which was read as such", ""),
    "report.xml": ("a report that is not complete XML, or has a DTD", "download it again"),
    "report.zip": ("a zip of reports that is cut, or is a bomb", "download it again"),
    "text.none": (
        "a study without a report and without a label: no text can be made",
        "in a table of your own, name the columns of reports or labels (cxr-vlp scan NAME "
        "--dry-run shows which are not used); else check that both were downloaded",
    ),
    "translated": ("a section that has a translation", ""),
}

SHARDS: Mapping[str, Explanation] = {
    "decode.crash": ("an image at which a decoder crashed", ""),
    "decode.timeout": ("an image that took too long to decode", "raise --image-timeout"),
    "dicom.bad_dims": ("a DICOM file without rows or columns", ""),
    "dicom.bits": ("a DICOM file of neither 8 nor 16 bits", ""),
    "dicom.aspect_ignored": ("an absurd ratio of pixel sides, which was not used", ""),
    "dicom.bits_wrong": ("a wrong BitsStored or HighBit; the depth was taken from the values", ""),
    "dicom.body_part": (
        "a BodyPartExamined that is no word for the chest",
        "kept by default, set `shards.body_part: reject` to leave it out",
    ),
    "dicom.colour": ("a palette that cannot be read", ""),
    "dicom.damaged_frame": ("an image that is cut or damaged inside its file", "download it again"),
    "dicom.empty": ("a file of no bytes", "download it again"),
    "dicom.for_processing": (
        "detector values that were not made for display (FOR PROCESSING)",
        "kept by default, set `shards.for_processing: reject` to leave it out",
    ),
    "dicom.frames": ("a DICOM file of several frames; the first is used", ""),
    "dicom.modality": (
        "a modality that is not projection radiography",
        "OT, SC and such are kept by default, set `shards.modality: reject` to leave them out",
    ),
    "dicom.no_pixels": ("a DICOM file without pixels", "download it again"),
    "dicom.not_dicom": ("a file that is not a DICOM file", "download it again"),
    "dicom.rescale_ignored": ("a rescale slope of 0 or not a number; it was not used", ""),
    "dicom.truncated": ("a DICOM file that is cut", "download it again"),
    "dicom.undecodable": ("pixels that no decoder reads", ""),
    "dicom.unsupported_ts": ("a transfer syntax that no decoder here reads", ""),
    "image.degenerate": ("an image of one value, or of a few pixels", ""),
    "image.digest": ("a file that differs from the published one", "download it again"),
    "image.implausible": (
        "an image that shows no radiograph: black, white, a stencil, or rows missing",
        "look at the file; no window of it, nor the range of its values, shows a radiograph",
    ),
    "image.io": ("a file that could not be read", ""),
    "image.too_large": ("an image of more than shards.max_megapixels", "raise it"),
    "image.unencodable": ("an image that could not be written", ""),
    "file.suffix": (
        "a file whose suffix names another format than its content; the content counts",
        "",
    ),
    "grey.inverted": (
        "a PNG or JPEG whose low values are white, as the collection says beside the file; they "
        "were made black",
        "",
    ),
    "grey.stretched": ("an image without a usable window, shown by the range of its values", ""),
    "key.bad": ("ids that make a key that loaders would cut", "set `ids: salted` for this source"),
    "lut.depth_wrong": ("a VOI LUT with a wrong descriptor; its entries give the depth", ""),
    "lut.implausible": ("a VOI LUT that shows no radiograph; the next rule was used", ""),
    "orientation.mirrored": ("a frontal image whose header says mirrored", "see `shards.orient`"),
    "orientation.rotated": ("a frontal image whose header says rotated", "see `shards.orient`"),
    "orientation.upside_down": (
        "a frontal image whose header says upside down",
        "see `shards.orient`",
    ),
    "padding.implausible": ("a padding value of most of the image, which was not used", ""),
    "text.empty": ("a study that has none of the chosen texts", "name more in shards.caption"),
    "window.implausible": ("a window that shows no radiograph; the next rule was used", ""),
    "source.changed": ("a file that changed since scan", "run scan again"),
    "source.gone": ("a file that vanished since scan", "run scan again"),
}

SELECT: Mapping[str, Explanation] = {
    "selection.left_out": ("samples of the source set that `select` did not choose", ""),
}

_COPY = "copy the set again, or build it again"
_BUILD = "build the set again"
_ALTERED = "another program than cxr-vlp shards wrote it: build the set again"
_FOREIGN = (
    "webdataset, open_clip and others read such tars, fit does not: make a set of them with a "
    "source of your own (examples/own_collection)"
)
_HOSTILE = "do not train on this set: build it again from the raw files"

VERIFY: Mapping[str, Explanation] = {
    # the files beside the tars
    "manifest.missing": (
        "tars of another program, or a set that was copied without its manifest",
        "copy the whole set; tars of another program are never valid, and docs/reuse.md says which "
        "of them fit reads",
    ),
    "manifest.broken": ("a manifest that is truncated, or has a value of the wrong type", _COPY),
    "manifest.format": ("a manifest of another version of the format", _BUILD),
    "manifest.parts": ("a manifest whose tars are not the parts that its header gives", _ALTERED),
    "manifest.parameters": ("a manifest whose `shards` are not valid parameters", _ALTERED),
    "manifest.digest": ("a manifest or rejects.jsonl that was changed afterwards", _COPY),
    "features.differ": ("a features.json that is absent or not the one of the format", _COPY),
    "sizes.differ": ("a sizes.json that is absent or differs from the manifest", _COPY),
    "rejects.missing": ("a set without rejects.jsonl", _COPY),
    "rejects.broken": ("a rejects.jsonl with a line that is no reject", _ALTERED),
    "rejects.differ": ("a rejects.jsonl that does not add up to `dropped`", _ALTERED),
    "rejects.raw_key": (
        "a reject that is not named by a hash: it may show an id",
        "do not share the set; build it again",
    ),
    "file.unlisted": ("a file that the manifest does not name", "move it out of the set"),
    "flow.unbalanced": ("listed images that are neither written nor counted as lost", _ALTERED),
    "flow.studies": ("a number of studies that is not the sum over the tars", _ALTERED),
    "flow.rejects": ("rejects of the tars that do not add up to `dropped`", _ALTERED),
    "flow.notes": ("more notes of the tars than the header counts", _ALTERED),
    "flow.empty": ("a part without samples that has bytes", _ALTERED),
    # tars and their members
    "shard.missing": ("a tar that the manifest names and that is not there", _COPY),
    "shard.digest": ("a tar with other bytes than the manifest says", _COPY),
    "shard.no_tar": (
        "a file that is no tar: a compressed one, or a pointer of Git LFS",
        "unpack it, or get the file itself",
    ),
    "shard.torn": ("a tar that is cut, or has no header where a member should begin", _COPY),
    "shard.end": ("a tar without its end, or with bytes after it", _COPY),
    "shard.order": ("samples that are not in the order of their keys", _ALTERED),
    "shard.samples": ("a tar with another number of samples than the manifest says", _ALTERED),
    "shard.studies": ("a tar with another number of studies than the manifest says", _ALTERED),
    "shard.patients": ("a tar with another number of patients than the manifest says", _ALTERED),
    "member.header": (
        "a member with a header that cxr-vlp shards does not write",
        "another program (tar, webdataset's ShardWriter) wrote the tar again: copy the set again, "
        "or build it again",
    ),
    "member.pipe": ("a member whose name webdataset would run as a command", _HOSTILE),
    "member.path": ("a member whose name is a path", _HOSTILE),
    "member.runnable": ("a member that loaders would unpickle or run", _HOSTILE),
    "member.unknown": ("a member that is not jpg, png, json or txt", _ALTERED),
    "sample.members": ("a sample that is not one image, one json and one txt", _ALTERED),
    "sample.apart": (
        "a sample whose members are not next to each other",
        "pack the files again with tar --sort=name",
    ),
    "sample.no_json": ("a sample without a JSON member, such as an image and a text", _FOREIGN),
    "sample.key": ("a key that loaders would cut", _ALTERED),
    # the JSON and the caption of a sample
    "json.broken": ("a JSON member that is not a JSON object", _COPY),
    "json.foreign": ("a JSON member of another program", _FOREIGN),
    "json.form": ("a JSON member that is not in the one form of the format", _ALTERED),
    "json.field": ("a field that is absent or of another type", _ALTERED),
    "json.format": ("a sample of another version of the format than its set", _BUILD),
    "json.unknown": ("a field that the format does not have", _ALTERED),
    "json.empty": ("an empty caption, dataset, patient, study or image", _ALTERED),
    "json.dataset": ("a sample of another collection", _ALTERED),
    "json.key": ("a sample whose key is not dataset-study-image", _ALTERED),
    "json.split": ("a sample of another split than its folder", _ALTERED),
    "json.view": ("a view that is not frontal, lateral, other or unknown", _ALTERED),
    "json.sex": ('a sex that is not F, M or ""', _ALTERED),
    "json.age": ("an age below zero", _ALTERED),
    "json.order": ("an order below zero", _ALTERED),
    "json.labels": ("a label that is not 1, 0 or -1", _ALTERED),
    "json.labels_other": ("further labels that are unsorted, repeated or not 1, 0, -1", _ALTERED),
    "json.prompts": ("a prompt without text", _ALTERED),
    "json.statements": ("a statement without text", _ALTERED),
    "json.sections": ("a section of blanks", _ALTERED),
    "json.sentences": ("an unknown status or assertion, or a mention outside its text", _ALTERED),
    "json.translations": ("a translation of no section, or equal to it", _ALTERED),
    "json.boxes": ("a box that is not on the image", _ALTERED),
    "json.changes": ("a change of no finding, of no layer or since another collection", _ALTERED),
    "json.pixels": ("sizes that are not positive, or notes that are not sorted", _ALTERED),
    "json.recipe": ("an image made by another recipe than the header says", _ALTERED),
    "json.provenance": ("a digest that is not a SHA-256", _ALTERED),
    "ids.raw": (
        "an id that is not a hash, in a set of salted ids",
        "do not share the set; build it again",
    ),
    "provenance.differs": ("an image made with other parameters than the header says", _BUILD),
    "provenance.text_differs": ("texts made with other parameters than the header says", _BUILD),
    "caption.differs": ("a txt member that is not the caption of the JSON", _ALTERED),
    "caption.empty": ("a txt member without text", _ALTERED),
    "caption.encoding": ("a txt member that is not UTF-8", _ALTERED),
    "study.elsewhere": ("a study that belongs to another part", _ALTERED),
    "study.scattered": ("a study whose images are not next to each other", _ALTERED),
    # the images, with --deep
    "image.unreadable": ("an image that cannot be decoded", _COPY),
    "image.cut": ("an image that ends too early, or has bytes after its end", _COPY),
    "image.size": ("an image of another size than its JSON says", _ALTERED),
    "image.too_large": ("an image of more than `max_megapixels`", _HOSTILE),
    "image.not_grey": ("an image that is not 8-bit grey", _ALTERED),
    "image.metadata": ("an image with EXIF, a comment or text inside", _ALTERED),
    "image.constant": ("an image of one grey value", _BUILD),
    "image.implausible": ("an image that shows no radiograph", "look at the image and its source"),
    "image.two_splits": (
        "an image of a test split that another set trains on",
        "do not train on one of the two sets and test on the other",
    ),
    "image.own_splits": (
        "an image that the collection itself repeats in two splits, under two patients",
        "",
    ),
    "image.twice": ("an image that occurs more than once in a split", ""),
    # --near-duplicates: one film, stored with other pixels under two patients
    "leakage.near_duplicate": (
        "two images of two splits that show one film",
        "give verify a file, `--near-duplicates FILE`, and name it in `sources.NAME.leave_out` of "
        "the collection that trains",
    ),
    "image.near_duplicate": ("two images of one split that show one film", ""),
    "image.blank": ("an image that shows nothing, compared with none for near-duplicates", ""),
    # of a set's folder
    "set.open_to_others": (
        "a credentialed or salted set that other users of this machine may read",
        "run `chmod -R go-rwx` on the set and on .dvc/cache, and `dvc pull` under `umask 077`",
    ),
    # over all sets
    "key.twice": ("a sample key that occurs more than once", "leave one of the sets out"),
    "patient.two_splits": (
        "a patient in two splits: a model would be tested on its training data",
        "correct the list of splits and build the set again",
    ),
    # --rederive
    "sample.differs": ("a sample that the source file gives with other bytes now", _BUILD),
    "sample.unlisted": ("a sample that scan or texts do not list", _BUILD),
    "texts.differ": ("texts that the report gives with other words now", _BUILD),
    "source.changed": ("a raw file or table that changed since scan", "run all stages again"),
    "source.gone": ("a raw file that is not there to compare with", ""),
    "fingerprints.other_code": (
        "a set made by another version of the code: fingerprints of its images are not checked",
        "",
    ),
}

EXPORTS: Mapping[str, Explanation] = {
    "text.empty": (
        "a sample that has none of the texts that --caption names",
        "name more: --caption impression,findings,prompt",
    ),
    "trainer.no_label": (
        "a sample without a label that the trainer's tests could use",
        "choose samples that have labels of CheXpert, or --split train",
    ),
    "trainer.no_text": (
        "a sample without the text that the trainer learns from",
        "name texts that it has: --caption impression,findings,prompt",
    ),
    "trainer.short_text": (
        "a sample of whose text the trainer keeps no sentence: all are too short",
        "name other texts: --caption impression,findings,prompt",
    ),
    "trainer.view": (
        "an image of a view or projection that the trainer does not read",
        "to use such images, take cxrclip, medclip or xrv, which read all views",
    ),
}

STOPS: Mapping[str, Explanation] = {
    "flow.unbalanced": ("counts of a stage that do not add up", "please report it"),
    "engine.failed": (
        "parts that were tried several times and never done, or no workers that are left",
        "look at the reason in the message and at the memory and logs of the workers; finished "
        "parts are kept: run again",
    ),
    "engine.stalled": (
        "a run in which no worker began another study or image for --stalled seconds",
        "look at the workers that the message names, or give more time with --stalled; finished "
        "parts are kept: run again",
    ),
    "runner.differs": (
        "two attempts at a part that had different results",
        "check that all workers have the same inputs and the same version, and run again",
    ),
    "runner.lost": ("parts for which the workers gave no result", "run again"),
    "worker.apart": (
        "a worker that does not see a folder of the run, or sees another one",
        "give addresses of an object store, or folders of a disk that all workers share",
    ),
    "worker.differs": (
        "a worker that has another version of Python, of this program or of a decoder",
        "install the wheel of the run and requirements-worker.txt on every worker",
    ),
    "worker.killed": (
        "a worker process that died, most likely out of memory",
        "run again, with fewer --workers",
    ),
    "worker.late": ("a worker of a run that was ended; it does nothing more", ""),
}

ALL: Mapping[str, Explanation] = {
    **SCAN,
    **TEXTS,
    **SHARDS,
    **SELECT,
}  # what a reject row or a note may carry
PAGE = (
    ("Rejects and notes of `scan`", SCAN),
    ("Rejects and notes of `texts`", TEXTS),
    ("Rejects and notes of `shards`", SHARDS),
    ("Rejects of `select`", SELECT),
    ("Breaches and notes of `verify`", VERIFY),
    ("Samples that `export` leaves out", EXPORTS),
    ("Codes with which a run stops", STOPS),
)


def name_of(code: str) -> str:
    """Return a code without the place or column that may follow it."""
    return code.split(" ")[0].split(":")[0]


def of(code: str, table: Mapping[str, Explanation] = ALL) -> Explanation:
    """Return (meaning, remedy) of a code; a place or a column may follow the code.

    ("", "") for a code that is not in the table.
    """
    name = name_of(code)
    return table.get(name) or table.get(name.split(".")[0]) or ("", "")


def remedies(
    met: Iterable[str], views_from: str = "", table: Mapping[str, Explanation] = ALL
) -> list[str]:
    """Return one line for each code in `met` that has a remedy.

    `views_from` names the file that gives the views of a collection.
    """
    lines = dict.fromkeys(advice(code, views_from, table) for code in met)
    return [line for line in lines if line]


def advice(code: str, views_from: str, table: Mapping[str, Explanation] = ALL) -> str:
    """Return a line that explains a code, "" for one that has no remedy."""
    name = name_of(code)
    meaning, remedy = of(code, table)
    if name == "view.unknown" and views_from:
        remedy = f"the view is given by {views_from}"
    return f"{name}: {meaning}; {remedy}" if remedy else ""


def markdown() -> str:
    """Return the page of all codes: a table for each stage, in the order of the stages."""
    parts = ["# Codes\n"]
    for title, table in PAGE:
        rows = [
            f"| `{code}` | {meaning} | {remedy or 'nothing to do'} |"
            for code, (meaning, remedy) in table.items()
        ]
        parts.append("\n".join([f"## {title}\n", "| code | meaning | remedy |", "|---|---|---|"]))
        parts[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
