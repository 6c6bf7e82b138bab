"""Open-i (Indiana University), as its own archives unpack or as Kaggle's copy does.

In: a number of reports and a seed. Out: the reports' XML (or two tables) and PNG pictures. The
set does not say whose a report is, so each stands for a patient of its own; there is no split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cxr_vlp.pipelines.synthetic.cases import Case, Person, film, people, sections
from cxr_vlp.pipelines.synthetic.layouts import archives
from cxr_vlp.pipelines.synthetic.layouts.faults import break_pictures
from cxr_vlp.pipelines.synthetic.layouts.image_files import eight_bits, png
from cxr_vlp.pipelines.synthetic.layouts.openi_terms import (
    automatic_terms,
    major_terms,
    problems,
    report_xml,
)
from cxr_vlp.pipelines.synthetic.real_content import Content
from cxr_vlp.pipelines.synthetic.reports.grammar import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.tree_writer import Laid, lay_tree, quiet, rows_of, truth_of
from cxr_vlp.pipelines.synthetic.truth import image_line, study_line

_REPORT_COLUMNS = (
    *("uid", "MeSH", "Problems", "image"),
    *("indication", "comparison", "findings", "impression"),
)
_PROJECTION_COLUMNS = ("uid", "filename", "projection")
_VIEW_COLUMNS = ("imageid", "tsne-view")
_TSNE = {"Frontal": "PA", "Lateral": "L"}  # the list calls every frontal image PA
# So that a tree of a dozen reports has each kind: how many views, and which sections are empty.
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
    faults: bool = False,
    advance: Callable[[int], None] = quiet,
) -> list[Laid]:
    """Write the tree `out/openi` and `out/openi.truth.jsonl`.

    `reports="xml"` lays the reports out as ecgen-radiology/<n>.xml instead of the archive that
    holds them; `kaggle=True` writes indiana_reports.csv and indiana_projections.csv instead.
    `views=True` adds nlmcxr_tsne_pa.csv, the list of views that torchxrayvision gives for the
    archive: without a list the view of nearly every image is unknown.
    """
    given = content or Content()
    persons = people("openi", studies, seed, given)
    if not given.pictures:
        persons = tuple(_with_views(person) for person in persons)
    tree = OpeniTree(seed, height, kaggle, reports, views)
    laid = lay_tree(tree, out / "openi", persons, workers=workers, advance=advance)
    truth = truth_of(laid)
    if faults:
        break_pictures(out / "openi", truth, seed)
    archives.write_jsonl(out / "openi.truth.jsonl", truth)
    return laid


def _with_views(person: Person) -> Person:
    cases = [
        replace(c, study=replace(c.study, views=_VIEWS.get(c.serial, c.study.views)))
        for c in person.cases
    ]
    return replace(person, cases=tuple(cases))


@dataclass(frozen=True, slots=True)
class OpeniTree:
    """The layout; a report's place in the collection is its uid."""

    seed: int
    height: int
    kaggle: bool
    reports: str
    views: bool = False

    def lay(self, root: Path, person: Person) -> Laid:
        """Write the pictures of the person's studies; the reports are packed by `finish`."""
        laid = Laid({"report": [], "projection": [], "view": []})
        for case in person.cases:
            self._lay_case(root, case, laid)
        if self.reports == "xml" and not self.kaggle:
            for name, text in laid.texts.items():
                archives.write_bytes(root / name, text)
        return laid

    def _lay_case(self, root: Path, case: Case, laid: Laid) -> None:
        uid, luck = case.serial + 1, stream("openi", self.seed, case.serial)
        empty = () if case.report else _EMPTY.get(case.serial, ())
        texts = dict(sections(case, seed=self.seed)) | dict.fromkeys(empty, "")
        names = _image_names(uid, len(case.study.views), luck.random() < 0.05)
        self._list(case, uid, texts, names, laid)
        laid.truth.append(
            study_line(
                case,
                source="openi",
                study=f"CXR{uid}",
                patient=f"CXR{uid}",
                split="",
                labels=report_labels(case.study),
                images=self._lay_images(root, case, uid, names),
                seed=self.seed,
                left_out=empty,
            )
        )

    def _list(
        self, case: Case, uid: int, texts: dict[str, str], names: list[str], laid: Laid
    ) -> None:
        """Add the report's XML and its rows in Kaggle's tables, which skip it without a picture."""
        luck = stream("terms", self.seed, uid)
        majors = major_terms(case.study.findings, luck)
        automatic = automatic_terms(case.study.findings, luck)
        if case.report:
            majors, automatic = case.report.major, case.report.automatic
        caption = _caption(case.study.views)
        marked = [(name, caption) for name in names]
        xml = report_xml(uid, texts, majors, automatic, marked)
        laid.texts[f"ecgen-radiology/{uid}.xml"] = xml
        for name, view in zip(names, case.study.views, strict=True):
            side = "Lateral" if view == "LATERAL" else "Frontal"
            file = Path(self._picture(uid, name)).name
            laid.rows["projection"].append({"uid": str(uid), "filename": file, "projection": side})
            laid.rows["view"].append({"imageid": name, "tsne-view": _TSNE[side]})
        if names:
            row = {"uid": str(uid), "MeSH": ";".join(majors), "Problems": problems(majors)}
            laid.rows["report"].append(row | {"image": caption} | texts)

    def _lay_images(
        self, root: Path, case: Case, uid: int, names: list[str]
    ) -> list[dict[str, Any]]:
        images = []
        for place, (name, view) in enumerate(zip(names, case.study.views, strict=True)):
            path = root / self._picture(uid, name)
            drawn = film(case, place, height=self.height, seed=self.seed)
            archives.write_bytes(path, png(eight_bits(drawn.pixels)))
            images.append(image_line(path, root, view, drawn.boxes))
        return images

    def _picture(self, uid: int, name: str) -> str:
        if self.kaggle:
            # ids of report 1 carry a number more in the XML than in any file name made of DICOM's
            kept = name.removeprefix("CXR1_") if uid == 1 else name.removeprefix("CXR")
            return f"images/images_normalized/{kept}.dcm.png"
        return f"NLMCXR_png/{name}.png"

    def finish(self, root: Path, laid: Sequence[Laid]) -> None:
        """Write the archive of reports, or Kaggle's two tables, and the list of views."""
        if self.kaggle:
            reports, shown = rows_of(laid, "report"), rows_of(laid, "projection")
            archives.write_csv(root / "indiana_reports.csv", _REPORT_COLUMNS, reports)
            archives.write_csv(root / "indiana_projections.csv", _PROJECTION_COLUMNS, shown)
        elif self.reports == "tgz":
            members = {name: text for one in laid for name, text in one.texts.items()}
            archives.write_tgz(root / "NLMCXR_reports.tgz", members)
        if self.views:
            shown = rows_of(laid, "view")
            archives.write_csv(root / "nlmcxr_tsne_pa.csv", _VIEW_COLUMNS, shown)


def _image_names(uid: int, images: int, suffixed: bool) -> list[str]:
    """Return the pictures' ids as the XML has them; report 1 is spelled unlike all others."""
    stem = "CXR1_1_IM-0001" if uid == 1 else f"CXR{uid}_IM-{uid * 7 % 2400:04d}"
    first = 3 if uid == 1 else 1
    names = [f"{stem}-{first + i}001" for i in range(images)]
    return [f"{name}-{i + 1:04d}" for i, name in enumerate(names)] if suffixed else names


def _caption(views: Sequence[str]) -> str:
    """Return the name of the examination, the same for each of its pictures."""
    return "Chest, frontal and lateral views" if "LATERAL" in views else "Chest, one view"
