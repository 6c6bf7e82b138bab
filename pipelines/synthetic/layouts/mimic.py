"""MIMIC-CXR and MIMIC-CXR-JPG, side by side, as PhysioNet lays them out.

In: a number of studies and a seed. Out: `mimic-cxr/2.1.0` (DICOM files, reports, record and study
lists) and `mimic-cxr-jpg/2.1.0` (JPG twins, metadata, split and label tables), and the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_vlp.pipelines.synthetic.cases import Case, Person, deal_splits, film, mimic_report, people
from cxr_vlp.pipelines.synthetic.layouts import archives, dicom_files
from cxr_vlp.pipelines.synthetic.layouts.acquisitions import Acquisition, acquire
from cxr_vlp.pipelines.synthetic.layouts.faults import FaultError, break_mimic
from cxr_vlp.pipelines.synthetic.layouts.image_files import mimic_jpg
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
from cxr_vlp.pipelines.synthetic.real_content import Content
from cxr_vlp.pipelines.synthetic.reports.grammar import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.tree_writer import Laid, Rows, lay_tree, quiet, rows_of, truth_of
from cxr_vlp.pipelines.synthetic.truth import image_line, study_line


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
    faults: bool = False,
    advance: Callable[[int], None] = quiet,
) -> list[Laid]:
    """Write the tree `out/mimic` and `out/mimic.truth.jsonl`.

    `twins=False` leaves the JPG files out (their tables stay); `reports="zip"` packs the reports
    into mimic-cxr-reports.zip; `faults=True` damages a dozen files (see `faults`), and needs
    report files to damage.
    """
    if faults and reports == "zip":
        raise FaultError('faults need reports="files"')
    persons = people("mimic", studies, seed, content or Content())
    splits = deal_splits(persons, seed, SPLITS)
    tree = MimicTree(seed, height, splits, *_bare(studies, seed), twins, reports)
    laid = lay_tree(tree, out / "mimic", persons, workers=workers, advance=advance)
    truth = truth_of(laid)
    if faults:
        break_mimic(out / "mimic", truth, seed)
    archives.write_jsonl(out / "mimic.truth.jsonl", truth)
    return laid


def _bare(studies: int, seed: int) -> tuple[frozenset[int], frozenset[int]]:
    """Return the serials without label rows, and those without a report (hence without labels)."""
    if studies < 10:
        return frozenset(), frozenset()
    chosen = stream("bare", seed).sample(range(studies), 2)
    return frozenset(chosen), frozenset(chosen[1:])


@dataclass(frozen=True, slots=True)
class MimicTree:
    """The layout, and what it needs to know of the whole collection to lay one person."""

    seed: int
    height: int
    splits: Mapping[int, str]
    unlabelled: frozenset[int]
    unreported: frozenset[int]
    twins: bool
    reports: str

    def lay(self, root: Path, person: Person) -> Laid:
        """Write the person's DICOM files, JPG twins and reports."""
        rows: Rows = {name: [] for name in TABLES}
        laid = Laid(rows, [], [], {})
        days = study_days(len(person.cases), stream("days", self.seed, person.number))
        for case, day in zip(person.cases, days, strict=True):
            self._lay_case(root, case, day, laid, rows)
        if self.reports == "files":
            for path, text in laid.texts.items():
                laid.sums.append(archives.write_bytes(root / CXR / path, text))
            laid.texts.clear()
        return laid

    def _lay_case(
        self, root: Path, case: Case, day: tuple[str, str], laid: Laid, rows: Rows
    ) -> None:
        subject, study = subject_id(case.study.patient), study_id(case.serial, self.seed)
        reported = case.serial not in self.unreported
        labels = {} if case.serial in self.unlabelled else report_labels(case.study)
        images = [
            self._lay_image(root, case, place, day, laid, rows)
            for place in range(len(case.study.views))
        ]
        if reported:
            path = f"{study_folder(subject, study)}.txt"
            laid.texts[path] = mimic_report(case, seed=self.seed).encode()
            rows["study"].append({"subject_id": subject, "study_id": study, "path": path})
        if labels:
            list_labels(rows, subject, study, labels, stream("negbio", self.seed, case.serial))
        laid.truth.append(
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

    def _lay_image(
        self, root: Path, case: Case, place: int, day: tuple[str, str], laid: Laid, rows: Rows
    ) -> dict[str, Any]:
        view, who = case.study.views[place], case.study.patient
        luck = stream("image", self.seed, who, case.study.number, place)
        shot = acquire(view, case.study.views, place=case.first + place, rng=luck)
        drawn = film(case, place, height=self.height, seed=self.seed)
        header = self._header(case, place, shot, day)
        folder = study_folder(header.patient, header.study)
        path = root / CXR / folder / f"{header.image}.dcm"
        laid.sums.append(_write_dicom(path, drawn.pixels, shot, header))
        if self.twins:
            twin = root / JPG / folder / f"{header.image}.jpg"
            laid.sums.append(archives.write_bytes(twin, mimic_jpg(drawn.pixels, shot.storage)))
        list_image(rows, header, shot, shape=drawn.pixels.shape, split=self.splits[who])
        return image_line(path, root, view, drawn.boxes)

    def _header(
        self, case: Case, place: int, shot: Acquisition, day: tuple[str, str]
    ) -> dicom_files.Header:
        storage, study = shot.storage, study_id(case.serial, self.seed)
        window = dicom_files.window_of(bits=storage.bits, photometric=storage.photometric)
        return dicom_files.Header(
            patient=subject_id(case.study.patient),
            study=study,
            image=dicom_id("mimic", self.seed, study, place),
            date=day[0],
            time=day[1],
            view=shot.view,
            view_meaning=shot.view_meaning,
            procedure=shot.procedure,
            orientation=shot.orientation,
            number=place + 1,
            modality=shot.modality,
            spacing=shot.spacing,
            spacing_tag=shot.spacing_tag,
            windows=(window,) * shot.windows,
            declared_bits=storage.declared,
        )

    def finish(self, root: Path, laid: Sequence[Laid]) -> None:
        """Write the six tables, the licence and the checksum lists."""
        sums = [pair for one in laid for pair in one.sums]
        if self.reports == "zip":
            members = {path: text for one in laid for path, text in one.texts.items()}
            sums.append(archives.write_zip(root / CXR / "mimic-cxr-reports.zip", members))
        for name, (path, columns) in TABLES.items():
            sums.append(archives.write_csv(root / path, columns, rows_of(laid, name)))
        for top in (root / CXR, root / JPG):
            sums.append(archives.write_bytes(top / "LICENSE.txt", LICENSE))
            own = [pair for pair in sums if Path(pair[0]).is_relative_to(top)]
            archives.write_sums(top / "SHA256SUMS.txt", own)


def _write_dicom(
    path: Path, pixels: dicom_files.Pixels, shot: Acquisition, header: dicom_files.Header
) -> tuple[str, str]:
    storage = shot.storage
    content = dicom_files.write(
        path,
        pixels,
        bits=storage.bits,
        photometric=storage.photometric,
        syntax=storage.syntax,
        header=header,
    )
    return path.as_posix(), archives.sha256(content)
