"""Writes the annotation layers MS-CXR, MS-CXR-T and CheXlocalize beside the trees they belong to.

Each is made from the truth file of its tree (mimic or chexpert): from the boxes of what was drawn,
the sentences that name it, and what became of it since the study before. LAYER.truth.jsonl has one
line an image, with boxes in pixels of its file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxr_vlp.pipelines.synthetic.cases.real_content import ContentError
from cxr_vlp.pipelines.synthetic.layouts.mimic_tables import TABLES
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.tree_writer import Written

MSCXR = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Lung Opacity", "Pleural Effusion",
    "Pneumonia", "Pneumothorax",
)  # fmt: skip
CHEXLOCALIZE = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Airspace Opacity", "Edema",
    "Consolidation", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Support Devices",
)  # fmt: skip
_COMPARED = ("Consolidation", "Edema", "Pleural Effusion", "Pneumonia", "Pneumothorax")
_PROGRESS = {"larger": "worsening", "smaller": "improving", "stable": "stable"}
_CHANGES = {"worsening": "worse", "improving": "better", "stable": "stable"}
_BOX = (
    "dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width",
    "image_height", "split",
)  # fmt: skip
_WORDS = {  # how a sentence names a finding
    "Atelectasis": ("atelecta",), "Cardiomegaly": ("cardiomegaly", "heart", "cardiac"),
    "Consolidation": ("consolidation",), "Edema": ("edema", "congestion"),
    "Lung Opacity": ("opacit",), "Pleural Effusion": ("effusion",), "Pneumonia": ("pneumonia",),
    "Pneumothorax": ("pneumothora",),
}  # fmt: skip
_LICENSE = (
    b"Synthetic look-alike of the layout of a set of annotations. Nobody in it exists; it may be\n"
    b"used freely for tests.\n"
)
Line = Mapping[str, Any]
Row = dict[str, Any]


def write_mscxr(out: Path, **_options: Any) -> list[Written]:
    """Write `out/mscxr` from `out/mimic.truth.jsonl`: the table and the COCO file.

    Raises ContentError without that tree; its options decide the images, so none is used here.
    """
    folder, sizes = out / "mscxr", _sizes(out)
    rows = [row for line in _truth(out, "mimic", "mscxr") for row in _phrases(line, sizes)]
    archives.write_csv(folder / "MS_CXR_Local_Alignment_v1.1.0.csv", _BOX, rows)
    coco = json.dumps(_coco(rows), indent=1).encode()
    archives.write_bytes(folder / "MS_CXR_Local_Alignment_v1.1.0.json", coco)
    archives.write_bytes(folder / "LICENSE.txt", _LICENSE)
    found: dict[str, list[Row]] = {}
    for row in rows:
        place = {side: row[side] for side in "xywh"}
        box = {"label": row["category_name"], "phrase": row["label_text"], **place}
        found.setdefault(row["dicom_id"], []).append(box)
    truth = [{"image": image, "boxes": boxes} for image, boxes in found.items()]
    archives.write_jsonl(out / "mscxr.truth.jsonl", truth)
    return []


def write_mscxrt(out: Path, **_options: Any) -> list[Written]:
    """Write `out/mscxrt` from `out/mimic.truth.jsonl`: the table of pairs, and that of sentences.

    Raises ContentError without that tree.
    """
    folder = out / "mscxrt"
    pairs = list(_pairs(_truth(out, "mimic", "mscxrt")))
    columns = ["dicom_id", "previous_dicom_id", "study_id", "subject_id", "previous_study_id"]
    named = [name.lower().replace(" ", "_") for name in _COMPARED]
    columns += [f"{name}_{kind}" for name in named for kind in ("progression", "label_quality")]
    classes = folder / "MS_CXR_T_temporal_image_classification_v1.0.0.csv"
    archives.write_csv(classes, columns, (row for row, _ in pairs))
    sentences = {"subset_name": "paraphrase", "sentence_1": "A.", "sentence_2": "B."}
    similar = folder / "MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv"
    archives.write_csv(similar, tuple(sentences), [sentences])
    archives.write_bytes(folder / "LICENSE.txt", _LICENSE)
    archives.write_jsonl(out / "mscxrt.truth.jsonl", (truth for _, truth in pairs))
    return []


def write_chexlocalize(out: Path, **_options: Any) -> list[Written]:
    """Write `out/chexlocalize` from `out/chexpert.truth.jsonl`: outlines and masks of two sets.

    Raises ContentError without that tree.
    """
    lines, truth = list(_truth(out, "chexpert", "chexlocalize")), []
    for folder, name in (("valid", "val"), ("test", "test")):
        outlines, masks = {}, {}
        for line in (line for line in lines if line["split"] == folder):
            for image in line["images"]:
                path = out / "chexpert" / image["path"]
                key = f"{line['study'].replace('/', '_')}_{path.stem}"
                found = _drawn(image, path)
                if found:
                    outlines[key], masks[key], boxes = found
                    truth.append({"image": key, "boxes": boxes})
        top = out / "chexlocalize" / "CheXlocalize"
        for kind, content in (("annotations", outlines), ("segmentations", masks)):
            archives.write_bytes(top / f"gt_{kind}_{name}.json", json.dumps(content).encode())
    archives.write_jsonl(out / "chexlocalize.truth.jsonl", truth)
    return []


def _truth(out: Path, source: str, layer: str) -> Iterator[Line]:
    path = out / f"{source}.truth.jsonl"
    if not path.is_file():
        raise ContentError(f"{layer} annotates {source}: write --sources {source},{layer}")
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _sizes(out: Path) -> dict[str, tuple[int, int]]:
    """Return the width and height of every image of the MIMIC tree, from its own table."""
    path = out / "mimic" / TABLES["metadata"][0]
    if not path.is_file():
        return {}
    rows = csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))
    return {row["dicom_id"]: (int(row["Columns"]), int(row["Rows"])) for row in rows}


def _phrases(line: Line, sizes: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    """Yield the rows of a study: a box each, of the findings that the set has."""
    for image in line["images"]:
        path = Path(image["path"])
        if image["view"] == "LATERAL":
            continue
        width, height = sizes[path.stem]
        for box in image["boxes"]:
            if box["label"] in MSCXR:
                yield {
                    "dicom_id": path.stem,
                    "category_name": box["label"],
                    "label_text": _phrase(line, box["label"]),
                    # it begins at files/, and names the JPG
                    "path": f"{path.as_posix().partition('2.1.0/')[2].removesuffix('.dcm')}.jpg",
                    **_whole(box, width, height),
                    "image_width": width,
                    "image_height": height,
                    "split": ("train", "test")[int(line["patient"]) % 2],
                }


def _phrase(line: Line, label: str) -> str:
    """Return the report's words on a finding; other words where it has no sentence of its own."""
    for sentence in line["sentences"]:
        text = sentence["text"]
        if sentence["status"] == "abnormal" and any(w in text.lower() for w in _WORDS[label]):
            return str(text.rstrip("."))
    return f"{label.lower()}, as drawn"


def _whole(box: Mapping[str, float], width: int, height: int) -> dict[str, int]:
    """Return a box in whole pixels, inside the image."""
    x, y = max(round(box["x"]), 0), max(round(box["y"]), 0)
    w = max(min(round(box["w"]), width - x), 1)
    return {"x": x, "y": y, "w": w, "h": max(min(round(box["h"]), height - y), 1)}


def _coco(rows: Sequence[Row]) -> Row:
    images = {row["dicom_id"]: row for row in rows}
    places = {name: number for number, name in enumerate(images, 1)}
    return {
        "info": {"description": "synthetic"},
        "categories": [{"id": n, "name": name} for n, name in enumerate(MSCXR, 1)],
        "images": [
            {"id": places[name], "file_name": f"{name}.jpg", "path": row["path"],
             "width": row["image_width"], "height": row["image_height"]}
            for name, row in images.items()
        ],
        "annotations": [
            {"id": n, "image_id": places[row["dicom_id"]], "label_text": row["label_text"],
             "category_id": MSCXR.index(row["category_name"]) + 1,
             "bbox": [row[side] for side in "xywh"]}
            for n, row in enumerate(rows, 1)
        ],
    }  # fmt: skip


def _pairs(lines: Iterable[Line]) -> Iterator[tuple[Row, Row]]:
    """Yield (row, truth line) for every two studies of a patient that follow each other."""
    before: Line | None = None
    for line in lines:
        if before is not None and before["patient"] == line["patient"]:
            made = _pair(before, line)
            if made is not None:
                yield made
        before = line


def _pair(before: Line, line: Line) -> tuple[Row, Row] | None:
    earlier, now = _frontal(before), _frontal(line)
    said = {f["name"]: _PROGRESS.get(f["age_of"]) for f in line["findings"]}
    changed = {name: word for name in _COMPARED if (word := said.get(name))}
    if not (earlier and now and changed):
        return None
    row = {
        # in this table the ids are paths, without files/ and without a suffix
        "dicom_id": now, "previous_dicom_id": earlier, "study_id": line["study"],
        "subject_id": line["patient"], "previous_study_id": before["study"],
    }  # fmt: skip
    for name, word in changed.items():
        column = name.lower().replace(" ", "_")
        row |= {f"{column}_progression": word, f"{column}_label_quality": "one_expert"}
    changes = [{"label": n, "change": _CHANGES[word]} for n, word in sorted(changed.items())]
    ends = {"image": Path(now).name, "earlier": Path(earlier).name}
    return row, {**ends, "changes": changes}


def _frontal(line: Line) -> str:
    found = [image["path"] for image in line["images"] if image["view"] != "LATERAL"]
    return found[0].partition("files/")[2].removesuffix(".dcm") if found else ""


def _drawn(image: Line, path: Path) -> tuple[Row, Row, list[Row]] | None:
    """Return (outlines, masks, boxes) of an image, None for one without a finding of the set."""
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if stored is None:  # a damaged file
        return None
    height, width = stored.shape
    outlines: dict[str, list[list[list[int]]]] = {}
    boxes = []
    for box in image["boxes"]:
        name = "Airspace Opacity" if box["label"] == "Lung Opacity" else box["label"]
        place = _whole(box, width - 1, height - 1)
        if name in CHEXLOCALIZE:
            outlines.setdefault(name, []).append(_diamond(place))
            boxes.append({"label": box["label"], **place})
    if not boxes:
        return None
    masks = {name: _mask(outlines.get(name, []), width, height) for name in CHEXLOCALIZE}
    return {"img_size": [height, width], **outlines}, masks, boxes


def _diamond(box: Mapping[str, int]) -> list[list[int]]:
    x, y, w, h = (box[side] for side in "xywh")
    return [[x, y + h // 2], [x + w // 2, y], [x + w, y + h // 2], [x + w // 2, y + h]]


def _mask(outlines: Sequence[Sequence[Sequence[int]]], width: int, height: int) -> Row:
    """Return a mask as COCO writes it: run lengths down the columns, in compressed text."""
    mask = np.zeros((height, width), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], (1,))
    flat = mask.T.reshape(-1)
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    if flat[0]:
        ends.insert(0, 0)  # the first run is always one of zeros
    runs = np.diff([0, *ends]).tolist()
    steps = [run - (runs[n - 2] if n > 2 else 0) for n, run in enumerate(runs)]
    return {"size": [height, width], "counts": "".join(map(_letters, steps))}


def _letters(number: int) -> str:
    """Return a number as COCO writes it: five bits a letter, the lowest first."""
    text = ""
    while True:
        bits, number = number & 31, number >> 5
        last = number == (-1 if bits & 16 else 0)
        text += chr(48 + bits + (0 if last else 32))
        if last:
            return text
