"""Writes ReXGradient-160K as its archive unpacks, beside its metadata.

`deid_png/` holds a PNG for each image in folders of UIDs, `metadata/` an object of studies and a
table without paths for each split, and the boxes of a few images in percent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of, sections
from cxr_vlp.pipelines.synthetic.writing.dicom_files import uid_of
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import eight_bits, png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Rows,
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

SPLITS = ("train", "valid", "test")
_SECTIONS = ("Indication", "Comparison", "Findings", "Impression")
_TABLE = (
    "id", "PatientID", "AccessionNumber", "StudyInstanceUid", *_SECTIONS, "PatientSex",
    "PatientAge", "StudyDate", "EthnicGroup",
)  # fmt: skip
# By serial: words for the view of the first image, and ages of children.
_WORDS: Mapping[int, str | None] = {2: "UNKNOWN", 5: "N/A", 7: None}
_CHILDREN = {1: "007Y", 3: "002D", 6: "011M"}


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/rexgradient` and `out/rexgradient.truth.jsonl`."""
    persons = people_of("rexgradient", studies, seed, content or Content())
    tree = RexgradientTree(seed, height, deal_splits(persons, seed, SPLITS))
    written = write_tree(tree, out / "rexgradient", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "rexgradient", truth, seed)
    archives.write_jsonl(out / "rexgradient.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class RexgradientTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    splits: Mapping[int, str]

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images."""
        split, rows = self.splits[person.number], Rows({name: [] for name in (*SPLITS, "boxes")})
        patient = self._id("patient", person.number)
        written = Written(rows)
        first = date(2006, 1, 1) + timedelta(
            days=stream("rexgradient", self.seed, person.number).randrange(4000)
        )
        for visit, case in enumerate(person.cases):
            ids = (patient, self._id("accession", case.serial), str(self._uid(case, "study")))
            images = self._write_images(root, case, ids, rows["boxes"])
            day = f"{first + timedelta(days=90 * visit):%Y%m%d}"
            study = self._study(case, ids, day) | _lists(images)
            rows[split].append({"key": "_".join(ids), "study": json.dumps(study)})
            line = study_line(
                case,
                source="rexgradient",
                study=ids[1],
                patient=patient,
                split=split,
                labels={},
                images=[image["line"] for image in images],
                seed=self.seed,
            )
            written.truth.append(line)
        return written

    def _id(self, *parts: str | int) -> str:
        """Return an id of the collection's form: GRDN and twelve letters or digits."""
        text = "/".join(map(str, ("rexgradient", self.seed, *parts)))
        return "GRDN" + hashlib.sha256(text.encode()).hexdigest()[:12].upper()

    def _uid(self, case: Case, *parts: str | int) -> str:
        return str(uid_of("rexgradient", str(self.seed), str(case.serial), *map(str, parts)))

    def _write_images(
        self, root: Path, case: Case, ids: Sequence[str], boxes: list[dict[str, str]]
    ) -> list[dict[str, Any]]:
        patient, accession, study = ids
        images = []
        for place, view in enumerate(case.study.views):
            series, sop = self._uid(case, "series", place), self._uid(case, "sop", place)
            path = root / "deid_png" / patient / accession / "studies" / study / "series" / series
            path = path / "instances" / f"{sop}.png"
            image = image_of(case, place, height=self.height, seed=self.seed)
            archives.write_bytes(path, png(eight_bits(image.pixels)))
            shape = image.pixels.shape
            kept = image.boxes if case.serial % 3 == 0 else ()
            boxes += [_box(f"{'_'.join(ids)}_{sop}.png", box, shape) for box in kept]
            word = _word(case, place, view)
            seen = view if word not in _WORDS.values() else ""
            line = image_line(path, root, seen, kept)
            images.append({"line": line, "word": word, "shape": list(shape)})
        return images

    def _study(self, case: Case, ids: Sequence[str], day: str) -> dict[str, Any]:
        text = sections(case, seed=self.seed)
        return {
            "PatientID": ids[0],
            "AccessionNumber": ids[1],
            "StudyInstanceUid": ids[2],
            **{name: text[name.lower()] or "None" for name in _SECTIONS},
            "PatientSex": case.study.sex,
            "PatientAge": _CHILDREN.get(case.serial, f"{case.study.age:03d}Y"),
            "StudyDate": int(day),
            "EthnicGroup": float("nan") if case.serial % 4 == 0 else "Not stated",
        }

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the metadata of each split in its three forms, and the boxes."""
        folder = root / "metadata"
        for split in SPLITS:
            rows = list(rows_of(written, split))
            studies = {row["key"]: json.loads(row["study"]) for row in rows}
            plain = {key: _without(study, "ImageViewPosition") for key, study in studies.items()}
            _write_json(folder / f"{split}_metadata_view_position.json", studies)
            _write_json(folder / f"{split}_metadata.json", plain)
            table = ({"id": key} | study for key, study in studies.items())
            cells = ({name: row[name] for name in _TABLE} for row in table)
            archives.write_csv(folder / f"{split}_metadata.csv", _TABLE, cells)
        boxes: dict[str, list[Any]] = {}
        for row in rows_of(written, "boxes"):
            boxes.setdefault(row["image"], []).append(json.loads(row["box"]))
        _write_json(folder / "interstitial_pattern_bbox.json", boxes)


def _lists(images: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the lists of a study, one entry an image; the paths lead out of metadata/."""
    return {
        "ImagePath": [f"../{image['line']['path']}" for image in images],
        "ImageViewPosition": [image["word"] for image in images],
        "ImageShape": [image["shape"] for image in images],
        "ImageModality": ["CR"] * len(images),
        "ImageBodyPart": ["CHEST"] * len(images),
    }


def _word(case: Case, place: int, view: str) -> str | None:
    """Return the word for a view: of the standard, of a machine, or none."""
    if place == 0 and case.serial in _WORDS:
        return _WORDS[case.serial]
    if view == "PA" and case.serial % 4 == 1:
        return "POSTERO_ANTERIOR"
    return "LL" if view == "LATERAL" and case.serial % 2 else view


def _box(image: str, box: Sequence[Any], shape: Sequence[int]) -> dict[str, str]:
    label, x, y, w, h = box
    high, wide = shape[:2]
    places = (100 * x / wide, 100 * y / high, 100 * w / wide, 100 * h / high)
    value = dict(zip(("x", "y", "width", "height"), places, strict=True))
    size = {"original_width": wide, "original_height": high}
    return {"image": image, "box": json.dumps(value | {"rectanglelabels": [label]} | size)}


def _without(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in study.items() if key != name}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    archives.write_bytes(path, (json.dumps(value, indent=4) + "\n").encode())
