"""Writes the two tuberculosis sets of the NLM, Shenzhen and Montgomery, as they are downloaded.

There is no table: the last digit of a film's name is its label, and a text file beside it has sex,
age and a line of reading, written by several hands. A film is a person. Masks of lungs and lesions
lie in folders of their own, those of Montgomery under the names of the films.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import Grey, eight_bits, png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

Form = Literal["nlm", "older", "kaggle"]
_PREFIX = {"shenzhen": "CHNCXR", "montgomery": "MCUCXR"}
_TOP = {
    ("shenzhen", "nlm"): "Shenzhen-Hospital-CXR-Set",
    ("shenzhen", "older"): "ChinaSet_AllFiles",
    ("montgomery", "nlm"): "Montgomery-County-CXR-Set/MontgomerySet",
    ("montgomery", "older"): "MontgomerySet",
}
_COLUMNS = ("study_id", "sex", "age", "findings")
_SIDES = {"bilateral": "bilateral ", "left": "left ", "right": "right "}


def write(
    collection: str,
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    form: Form = "nlm",
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/COLLECTION` and `out/COLLECTION.truth.jsonl`.

    `form="older"` has the folder names of the first download; `form="kaggle"` has no text files
    and no masks but a table of sex, age and findings.
    """
    given = content or Content()
    frontal = Content(tuple(image for image in given.images if image.view != "LATERAL"))
    persons = _one_film_each(people_of(collection, 3 * studies, seed, frontal)[:studies])
    tree = NlmTree(collection, form, seed, height, _numbers(persons))
    written = write_tree(tree, out / collection, persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / collection, truth, seed)
    archives.write_jsonl(out / f"{collection}.truth.jsonl", truth)
    return written


write_shenzhen = partial(write, "shenzhen")
write_montgomery = partial(write, "montgomery")


def _one_film_each(persons: Sequence[Person]) -> list[Person]:
    kept = []
    for serial, person in enumerate(persons):
        case = replace(person.cases[0], serial=serial, first=serial)
        study = replace(case.study, number=1, views=("PA",), prior=False, resolved=())
        kept.append(replace(person, cases=(replace(case, study=study),)))
    return kept


def _numbers(persons: Sequence[Person]) -> dict[int, int]:
    """Return the number of each film: the normal ones come first, as in the collections."""
    films = sorted((bool(p.cases[0].study.findings), p.number) for p in persons)
    return {person: place for place, (_, person) in enumerate(films, 1)}


@dataclass(frozen=True, slots=True)
class NlmTree:
    """The layout, and the number of each person's film."""

    collection: str
    form: str
    seed: int
    height: int
    numbers: Mapping[int, int]

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's film, its reading and its masks."""
        [case] = person.cases
        ill = int(bool(case.study.findings))
        stem = f"{_PREFIX[self.collection]}_{self.numbers[person.number]:04d}_{ill}"
        written = Written({"table": []})
        path = root / self._films() / f"{stem}.png"
        pixels = self._film(case)
        archives.write_bytes(path, self._encoded(pixels, case.serial))
        said = reading(case)
        if self.form == "kaggle":
            written.rows["table"].append(_row(case, path.name, said))
        else:
            self._write_texts(root / self._top(), stem, case, said)
            self._write_masks(root / self._top(), stem, pixels.shape, ill)
        line = study_line(
            case,
            source=self.collection,
            study=stem,
            patient=stem.rpartition("_")[0],
            split="",
            labels={"Tuberculosis": ill, "No Finding": 1 - ill},
            images=[image_line(path, root, "PA")],
            seed=self.seed,
            reported=False,
        )
        written.truth.append(line | _facts(self.collection, case) | {"reading": said})
        return written

    def _top(self) -> str:
        return _TOP.get((self.collection, self.form), "")

    def _films(self) -> str:
        return "images/images" if self.form == "kaggle" else f"{self._top()}/CXR_png"

    def _film(self, case: Case) -> Grey:
        """Return the film; three of ten of Montgomery were taken on a detector that lay down."""
        grey = eight_bits(image_of(case, 0, height=self.height, seed=self.seed).pixels)
        if self.collection == "montgomery" and case.serial % 10 in (2, 5, 8):
            beside = max(0, grey.shape[0] * 6 // 5 - grey.shape[1]) // 2
            grey = np.pad(grey, ((0, 0), (beside, beside)))
        return grey

    def _encoded(self, grey: Grey, serial: int) -> bytes:
        """Return a PNG. Those of Shenzhen have a palette, and some have three equal channels."""
        if self.collection == "montgomery":
            return png(grey)
        if serial % 6 == 4:
            return cv2.imencode(".png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes()
        stream = BytesIO()
        image = PIL.Image.fromarray(grey).convert("P")
        image.save(stream, "png")
        return stream.getvalue()

    def _write_texts(self, top: Path, stem: str, case: Case, said: str) -> None:
        text = _montgomery_text if self.collection == "montgomery" else _shenzhen_text
        archives.write_bytes(top / "ClinicalReadings" / f"{stem}.txt", text(case, said).encode())

    def _write_masks(self, top: Path, stem: str, shape: tuple[int, ...], ill: int) -> None:
        mask = np.zeros(shape, np.uint8)
        mask[shape[0] // 4 : shape[0] // 2, shape[1] // 5 : shape[1] // 2] = 255
        if self.collection == "montgomery":
            names = [f"ManualMask/{side}Mask/{stem}.png" for side in ("left", "right")]
        else:
            names = [f"mask/mask/{stem}_mask.png"]
            kinds = ("Small_Infiltrate_(non-linear)_1", "Pleural_Effusion_2")
            names += [f"Annotations-2/masks/{stem}_{kind}.png" for kind in kinds if ill]
        for name in names:
            archives.write_bytes(top / name, png(mask))

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the table of Kaggle's copy, and the files that lie beside the films."""
        if self.form == "kaggle":
            name = root / f"{self.collection}_metadata.csv"
            archives.write_csv(name, _COLUMNS, rows_of(written, "table"))
            return
        archives.write_bytes(root / self._films() / "Thumbs.db", b"\xd0\xcf\x11\xe0thumbs")
        archives.write_bytes(root / self._top() / "NLM-ReadMe.pdf", b"%PDF-1.4 not read\n")


def reading(case: Case) -> str:
    """Return the line of reading: `normal`, or what a reader calls the tuberculosis."""
    if not case.study.findings:
        return ("normal", "normal", "Normal", "normale")[case.serial % 4]
    finding = next((f for f in case.study.findings if f.side), case.study.findings[0])
    side, kind = _SIDES.get(finding.side, "bilateral "), ("", "secondary ")[case.serial % 2]
    if case.serial % 3 == 1:
        return f"{side}{kind}PTB,left pleurisy"
    zone = finding.zone if finding.zone in ("mid", "lower") else "upper"
    return f"{kind}PTB in the {side}{zone} field"


def _shenzhen_text(case: Case, said: str) -> str:
    """Return sex and age in one of the forms that the readings have, then the reading."""
    sex, age = {"F": "female", "M": "male"}[case.study.sex], case.study.age
    forms = (
        f"{sex} {age}yrs\n{said}",
        f"{sex.capitalize()} {age} yrs \r\n{said}\r\n",
        f"{sex}, {age}yrs\n\n{said}\n",
        f"{age} yrs\n{said}",
        f"{sex}{age} years\n{said}  \n\n",
    )
    return forms[case.serial % len(forms)]


def _montgomery_text(case: Case, said: str) -> str:
    return f"Patient's Sex: {case.study.sex}\nPatient's Age: {case.study.age:03d}Y\n{said}\n\n"


def _facts(collection: str, case: Case) -> dict[str, Any]:
    """Return sex and age, as far as the reading says them."""
    lacking = collection == "shenzhen" and case.serial % 5 == 3
    return {"sex": "" if lacking else case.study.sex, "age": case.study.age}


def _row(case: Case, name: str, said: str) -> dict[str, str]:
    sex = {"F": "Female", "M": "Male"}[case.study.sex]
    shown = "" if case.serial % 5 == 3 else sex
    return {"study_id": name, "sex": shown, "age": f"{case.study.age}.0", "findings": said}
