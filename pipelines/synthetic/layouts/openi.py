"""Writes Open-i (Indiana University) as its own archives or as Kaggle's copy unpack.

The tree holds the reports as XML (or as two tables) and PNG images. The set does not name the
patient of a report, so each report counts as its own patient. There is no split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.names.openi import (
    automatic_terms,
    major_terms,
    problems,
    report_xml,
)
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives, report_tables
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of, sections
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import eight_bits, png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

_REPORT_COLUMNS = (
    *("uid", "MeSH", "Problems", "image"),
    *("indication", "comparison", "findings", "impression"),
)
_PROJECTION_COLUMNS = ("uid", "filename", "projection")
_VIEW_COLUMNS = ("imageid", "tsne-view")
_TSNE = {"Frontal": "PA", "Lateral": "L"}  # the list calls every frontal image PA
# By serial: unusual views and empty sections, so that a tree of a dozen reports has each kind.
_VIEWS: dict[int, tuple[str, ...]] = {4: (), 6: ("PA",), 9: ("PA", "LATERAL", "AP")}
_EMPTY = {3: ("findings",), 8: ("findings", "impression"), 10: ("impression",)}


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    reports: Literal["tgz", "xml"] = "tgz",
    kaggle: bool = False,
    views: bool = False,
    form: Literal["openi", "r2gen"] = "openi",
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/openi` and `out/openi.truth.jsonl`.

    `reports="xml"` lays the reports out as ecgen-radiology/<n>.xml instead of the archive that
    holds them; `kaggle=True` writes indiana_reports.csv and indiana_projections.csv instead.
    `views=True` adds nlmcxr_tsne_pa.csv, the list of views that torchxrayvision gives for the
    archive: without a list the view of nearly every image is unknown. `form="r2gen"` writes
    images/CXR1_IM-0001/0.png and annotation.json: reports with findings and at least two images.
    """
    given = content or Content()
    persons = people_of("openi", studies, seed, given)
    if not given.images:
        persons = tuple(_with_views(person) for person in persons)
    tree = OpeniTree(seed, height, kaggle, reports, views, form)
    written = write_tree(tree, out / "openi", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "openi", truth, seed)
    archives.write_jsonl(out / "openi.truth.jsonl", truth)
    return written


def _with_views(person: Person) -> Person:
    cases = [
        replace(c, study=replace(c.study, views=_VIEWS.get(c.serial, c.study.views)))
        for c in person.cases
    ]
    return replace(person, cases=tuple(cases))


write_with_views = partial(write, views=True)


@dataclass(frozen=True, slots=True)
class OpeniTree:
    """The layout. The uid of a report is its place in the collection."""

    seed: int
    height: int
    kaggle: bool
    reports: str
    views: bool = False
    form: str = "openi"

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images. `write_tables` packs the reports in an archive."""
        written = Written({"report": [], "projection": [], "view": []})
        for case in person.cases:
            self._write_case(root, case, written)
        if self.form == "r2gen":
            return written
        if self.reports == "xml" and not self.kaggle:
            for name, text in written.texts.items():
                archives.write_bytes(root / name, text)
        return written

    def _write_case(self, root: Path, case: Case, written: Written) -> None:
        uid, rng = case.serial + 1, stream("openi", self.seed, case.serial)
        empty = () if case.report else _EMPTY.get(case.serial, ())
        texts = dict(sections(case, seed=self.seed)) | dict.fromkeys(empty, "")
        names = _image_names(uid, len(case.study.views), rng.random() < 0.05)
        split = ""
        if self.form == "r2gen":
            split = ("train", "train", "val", "test")[case.serial % 4]
            self._list_r2gen(uid, texts["findings"], names, split, written)
        else:
            self._list(case, uid, texts, names, written)
        written.truth.append(
            study_line(
                case,
                source="openi",
                study=f"CXR{uid}",
                patient=f"CXR{uid}",
                split=split,
                labels=report_labels(case.study),
                images=self._write_images(root, case, uid, names),
                seed=self.seed,
                left_out=empty,
            )
        )

    def _list(
        self, case: Case, uid: int, texts: dict[str, str], names: list[str], written: Written
    ) -> None:
        """Add the report's XML, and its rows in Kaggle's tables, which omit imageless reports."""
        rng = stream("terms", self.seed, uid)
        majors = major_terms(case.study.findings, rng)
        automatic = automatic_terms(case.study.findings, rng)
        if case.report:
            majors, automatic = case.report.major, case.report.automatic
        caption = _caption(case.study.views)
        marked = [(name, caption) for name in names]
        xml = report_xml(uid, texts, majors, automatic, marked)
        written.texts[f"ecgen-radiology/{uid}.xml"] = xml
        for name, view in zip(names, case.study.views, strict=True):
            side = "Lateral" if view == "LATERAL" else "Frontal"
            file = Path(self._path(uid, name)).name
            written.rows["projection"].append(
                {"uid": str(uid), "filename": file, "projection": side}
            )
            written.rows["view"].append({"imageid": name, "tsne-view": _TSNE[side]})
        if names:
            row = {"uid": str(uid), "MeSH": ";".join(majors), "Problems": problems(majors)}
            written.rows["report"].append(row | {"image": caption} | texts)

    def _write_images(
        self, root: Path, case: Case, uid: int, names: list[str]
    ) -> list[dict[str, Any]]:
        images = []
        for place, (name, view) in enumerate(zip(names, case.study.views, strict=True)):
            path = root / self._path(uid, name, place)
            image = image_of(case, place, height=self.height, seed=self.seed)
            archives.write_bytes(path, png(eight_bits(image.pixels)))
            images.append(image_line(path, root, view, image.boxes))
        return images

    def _list_r2gen(
        self, uid: int, findings: str, names: list[str], split: str, written: Written
    ) -> None:
        """Add the entry of a report with findings and two images; R2Gen keeps no other."""
        if not findings or len(names) < 2:
            return
        files = [self._path(uid, name, place) for place, name in enumerate(names[:2])]
        entry = {"id": Path(files[0]).parent.name, "report": findings,
                 "image_path": [file.removeprefix("images/") for file in files]}  # fmt: skip
        written.texts[f"{split} {uid:06d}"] = json.dumps(entry).encode()

    def _path(self, uid: int, name: str, place: int = 0) -> str:
        if self.form == "r2gen":
            return f"images/{name.rpartition('-')[0]}/{place}.png"
        if self.kaggle:
            # in the XML the ids of report 1 have one number more than in the file names from DICOM
            kept = name.removeprefix("CXR1_") if uid == 1 else name.removeprefix("CXR")
            return f"images/images_normalized/{kept}.dcm.png"
        return f"NLMCXR_png/{name}.png"

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the archive of reports, or Kaggle's two tables, and the list of views."""
        if self.form == "r2gen":
            texts = [pair for one in written for pair in one.texts.items()]
            entries = [(name.split()[0], json.loads(text)) for name, text in texts]
            report_tables.write_annotation(root / "annotation.json", entries)
            return
        if self.kaggle:
            reports, projections = rows_of(written, "report"), rows_of(written, "projection")
            archives.write_csv(root / "indiana_reports.csv", _REPORT_COLUMNS, reports)
            archives.write_csv(root / "indiana_projections.csv", _PROJECTION_COLUMNS, projections)
        elif self.reports == "tgz":
            members = {name: text for one in written for name, text in one.texts.items()}
            archives.write_tgz(root / "NLMCXR_reports.tgz", members)
        if self.views:
            views = rows_of(written, "view")
            archives.write_csv(root / "nlmcxr_tsne_pa.csv", _VIEW_COLUMNS, views)


def _image_names(uid: int, images: int, suffixed: bool) -> list[str]:
    """Return the ids of the images as in the XML. Those of report 1 have another form."""
    stem = "CXR1_1_IM-0001" if uid == 1 else f"CXR{uid}_IM-{uid * 7 % 2400:04d}"
    first = 3 if uid == 1 else 1
    names = [f"{stem}-{first + i}001" for i in range(images)]
    return [f"{name}-{i + 1:04d}" for i, name in enumerate(names)] if suffixed else names


def _caption(views: Sequence[str]) -> str:
    """Return the name of the examination, the same for each of its images."""
    return "Chest, frontal and lateral views" if "LATERAL" in views else "Chest, one view"
