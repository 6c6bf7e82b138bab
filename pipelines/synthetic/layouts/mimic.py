"""Writes MIMIC-CXR and MIMIC-CXR-JPG, side by side, as PhysioNet lays them out.

`mimic-cxr/2.1.0` holds DICOM files, reports, record and study lists. `mimic-cxr-jpg/2.1.0` holds a
JPG twin of each DICOM file, and metadata, split and label tables. Two forms in which many groups
have the collection are written as well: the JPG release with a table of sections, and R2Gen's tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.layouts.mimic_tables import (
    CXR,
    JPG,
    LICENSE,
    SPLITS,
    TABLES,
    dicom_id,
    list_image,
    list_labels,
    study_days,
    study_folder,
    study_id,
    subject_id,
)
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives, dicom_files, report_tables
from cxr_vlp.pipelines.synthetic.writing.acquisitions import Acquisition, acquire
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of, mimic_report
from cxr_vlp.pipelines.synthetic.writing.faults import FaultError, break_mimic
from cxr_vlp.pipelines.synthetic.writing.image_files import mimic_jpg
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Rows,
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import (
    LABELS,
    image_line,
    study_line,
    true_labels,
)

Form = Literal["physionet", "sectioned", "r2gen"]
RADIOLOGISTS = ("study_id", *(n if n != "Lung Opacity" else "Airspace Opacity" for n in LABELS))


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    twins: bool = True,
    reports: Literal["files", "zip"] = "files",
    form: Form = "physionet",
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/mimic` and `out/mimic.truth.jsonl`.

    `twins=False` leaves the JPG files out (their tables stay); `reports="zip"` packs the reports
    into mimic-cxr-reports.zip; `faults=True` damages a dozen files (see `faults`).
    `form="sectioned"` writes the JPG release alone, with mimic_cxr_sectioned.csv and the labels of
    radiologists for some studies; `form="r2gen"` writes images/ and annotation.json. Raises
    FaultError for faults without report files, as some faults damage those.
    """
    if faults and (reports == "zip" or form != "physionet"):
        raise FaultError('faults need reports="files" and form="physionet"')
    persons = people_of("mimic", studies, seed, content or Content())
    splits = deal_splits(persons, seed, SPLITS)
    tree = MimicTree(seed, height, splits, *_bare(studies, seed), twins, reports, form)
    written = write_tree(tree, out / "mimic", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_mimic(out / "mimic", truth, seed)
    archives.write_jsonl(out / "mimic.truth.jsonl", truth)
    return written


def _bare(studies: int, seed: int) -> tuple[frozenset[int], frozenset[int]]:
    """Return the serials without label rows, and those without a report (hence without labels)."""
    if studies < 10:
        return frozenset(), frozenset()
    chosen = stream("bare", seed).sample(range(studies), 2)
    return frozenset(chosen), frozenset(chosen[1:])


@dataclass(frozen=True, slots=True)
class MimicTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    splits: Mapping[int, str]
    unlabelled: frozenset[int]
    unreported: frozenset[int]
    twins: bool
    reports: str
    form: str

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's DICOM files, JPG twins and reports."""
        rows: Rows = {name: [] for name in TABLES}
        written = Written(rows, [], [], {})
        days = study_days(len(person.cases), stream("days", self.seed, person.number))
        for case, day in zip(person.cases, days, strict=True):
            self._write_case(root, case, day, written, rows)
        if self.reports == "files" and self.form == "physionet":
            for path, text in written.texts.items():
                written.sums.append(archives.write_bytes(root / CXR / path, text))
            written.texts.clear()
        return written

    def _write_case(
        self, root: Path, case: Case, day: tuple[str, str], written: Written, rows: Rows
    ) -> None:
        subject, study = subject_id(case.study.patient), study_id(case.serial, self.seed)
        reported = case.serial not in self.unreported
        labels = {} if case.serial in self.unlabelled else report_labels(case.study)
        images = [
            self._write_image(root, case, place, day, written, rows)
            for place in range(len(case.study.views))
        ]
        if reported:
            path = f"{study_folder(subject, study)}.txt"
            written.texts[path] = mimic_report(case, seed=self.seed).encode()
            rows["study"].append({"subject_id": subject, "study_id": study, "path": path})
        if self.form == "sectioned" and self._read_by_radiologists(case):
            labels = true_labels(case.study)
            marks = {name: f"{value:.1f}" for name, value in labels.items()}
            marks["Airspace Opacity"] = marks.pop("Lung Opacity")
            rows.setdefault("radiologists", []).append({"study_id": study} | marks)
        if labels:
            list_labels(rows, subject, study, labels, stream("negbio", self.seed, case.serial))
        written.truth.append(
            study_line(
                case,
                source="mimic",
                study=study,
                patient=subject,
                split=self.splits[case.study.patient],
                labels=labels,
                images=images,
                seed=self.seed,
                reported=reported,
            )
        )

    def _write_image(
        self, root: Path, case: Case, place: int, day: tuple[str, str], written: Written, rows: Rows
    ) -> dict[str, Any]:
        view, who = case.study.views[place], case.study.patient
        rng = stream("image", self.seed, who, case.study.number, place)
        acquisition = acquire(view, case.study.views, place=case.first + place, rng=rng)
        image = image_of(case, place, height=self.height, seed=self.seed)
        header = self._header(case, place, acquisition, day)
        folder = study_folder(header.patient, header.study)
        path = root / CXR / folder / f"{header.image}.dcm"
        twin = root / JPG / folder / f"{header.image}.jpg"
        if self.form == "r2gen":
            twin = root / folder.replace("files/", "images/", 1) / f"{header.image}.jpg"
        if self.form == "physionet":
            written.sums.append(_write_dicom(path, image.pixels, acquisition, header))
        else:
            path = twin
        if self.twins or path == twin:
            written.sums.append(
                archives.write_bytes(twin, mimic_jpg(image.pixels, acquisition.storage))
            )
        list_image(rows, header, acquisition, shape=image.pixels.shape, split=self.splits[who])
        return image_line(path, root, view, image.boxes)

    def _read_by_radiologists(self, case: Case) -> bool:
        """Return whether the study is one of those that radiologists labelled, all of the test."""
        return self.splits[case.study.patient] == "test" and case.serial % 3 != 2

    def _header(
        self, case: Case, place: int, acquisition: Acquisition, day: tuple[str, str]
    ) -> dicom_files.Header:
        storage, study = acquisition.storage, study_id(case.serial, self.seed)
        window = dicom_files.window_of(bits=storage.bits, photometric=storage.photometric)
        return dicom_files.Header(
            patient=subject_id(case.study.patient),
            study=study,
            image=dicom_id("mimic", self.seed, study, place),
            date=day[0],
            time=day[1],
            view=acquisition.view,
            view_meaning=acquisition.view_meaning,
            procedure=acquisition.procedure,
            orientation=acquisition.orientation,
            number=place + 1,
            modality=acquisition.modality,
            spacing=acquisition.spacing,
            spacing_tag=acquisition.spacing_tag,
            windows=(window,) * acquisition.windows,
            declared_bits=storage.declared,
        )

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the six tables, the licence and the checksum lists, or those of another form."""
        if self.form == "r2gen":
            report_tables.write_annotation(root / "annotation.json", list(_r2gen(written)))
            return
        if self.form == "sectioned":
            self._write_sectioned(root / JPG, written)
        sums = [pair for one in written for pair in one.sums]
        if self.reports == "zip":
            members = {path: text for one in written for path, text in one.texts.items()}
            sums.append(archives.write_zip(root / CXR / "mimic-cxr-reports.zip", members))
        for name, (path, columns) in TABLES.items():
            if self.form == "sectioned" and path.is_relative_to(CXR):
                continue
            sums.append(archives.write_csv(root / path, columns, rows_of(written, name)))
        for top in (root / CXR, root / JPG)[self.form == "sectioned" :]:
            sums.append(archives.write_bytes(top / "LICENSE.txt", LICENSE))
            own = [pair for pair in sums if Path(pair[0]).is_relative_to(top)]
            archives.write_sums(top / "SHA256SUMS.txt", own)

    def _write_sectioned(self, top: Path, written: Sequence[Written]) -> None:
        """Write the table of sections without one study, and the labels of the radiologists."""
        texts = {path: text for one in written for path, text in one.texts.items()}
        left_out = sorted(Path(name).stem for name in texts)[:1]
        report_tables.write_sectioned(top / "mimic_cxr_sectioned.csv", texts, left_out)
        rows = rows_of(written, "radiologists")
        archives.write_csv(top / "mimic-cxr-2.1.0-test-set-labeled.csv", RADIOLOGISTS, rows)


def _r2gen(written: Sequence[Written]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (split, entry) of each image whose report has findings: R2Gen keeps no other."""
    splits = {row["dicom_id"]: row["split"] for row in rows_of(written, "split")}
    texts = {Path(p).stem[1:]: t.decode() for one in written for p, t in one.texts.items()}
    for row in rows_of(written, "record"):
        found = report_tables.sections_of(texts.get(row["study_id"], "")).get("findings")
        if found:
            image = row["path"].removeprefix("files/").replace(".dcm", ".jpg")
            ids = {"study_id": int(row["study_id"]), "subject_id": int(row["subject_id"])}
            entry = {"id": row["dicom_id"], **ids, "report": found, "image_path": [image]}
            yield report_tables.R2GEN_SPLITS[splits[row["dicom_id"]]], entry


def _write_dicom(
    path: Path, pixels: dicom_files.Pixels, acquisition: Acquisition, header: dicom_files.Header
) -> tuple[str, str]:
    storage = acquisition.storage
    content = dicom_files.write(
        path,
        pixels,
        bits=storage.bits,
        photometric=storage.photometric,
        syntax=storage.syntax,
        header=header,
    )
    return path.as_posix(), archives.sha256(content)
