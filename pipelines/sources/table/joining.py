"""Joins the rows of one study: images, labels, boxes and report, or the code that refuses it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.records import Image, Lost, ReportRef, SourceBox, Study
from cxr_vlp.pipelines.sources import views
from cxr_vlp.pipelines.sources.base import ORDER, Assembled, Rows
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.sources.table import keys, merging
from cxr_vlp.pipelines.sources.table.box_cells import Found, Frame
from cxr_vlp.pipelines.sources.table.options import Labels, Options, Readers
from cxr_vlp.pipelines.sources.table.plan import FILES

_REPEATS = frozenset({ORDER, "notes", "member"})  # what rows that say the same may differ in


@dataclass
class Joining:
    """The rows of one study and what was noted of them."""

    options: Options
    study: str
    source: str
    rule: PatientRule
    images: Sequence[Row]  # rows that list images
    further: Mapping[str, Sequence[Row]]  # table -> rows that are joined to them
    notes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, options: Options, source: str, study: str, rows: Rows, rule: PatientRule
    ) -> Joining:
        """Sort the rows of a study, so that their order does not matter."""
        of_images: list[Row] = []
        further: dict[str, list[Row]] = {}
        for name, found in sorted(rows.items()):
            ordered = sorted(found, key=lambda row: (int(row.get(ORDER, 0)), sorted(row.items())))
            if name.startswith("images"):
                of_images += ordered
            elif name != FILES:
                further.setdefault(name.partition("-")[0], []).extend(ordered)
        return cls(options, study, source, rule, of_images, further)

    def result(self) -> Assembled:
        """Return the study with its lost images and notes."""
        listed = self._listed()
        if not listed:
            unmatched = sum(map(len, self.further.values()))
            return Assembled(None, 0, notes={"csv.unmatched": unmatched} if unmatched else {})
        self._count(listed)
        lost = tuple(
            Lost(row["lost"], image)
            for image, rows in listed.items()
            if (row := rows[0]).get("lost")
        )
        try:
            made = self._study(listed)
        except IngestError as error:
            return self._refused(error.code, listed, lost)
        return Assembled(made if made.images else None, len(listed), lost, +self.notes)

    def _refused(
        self, code: str, listed: Mapping[str, Sequence[Row]], lost: tuple[Lost, ...]
    ) -> Assembled:
        gone = {each.image for each in lost}
        here = tuple(Lost(code, image) for image in listed if image not in gone)
        notes = +self.notes + (Counter() if here else Counter({code: 1}))
        return Assembled(None, len(listed), (*here, *lost), notes)

    def _listed(self) -> dict[str, list[Row]]:
        """Return image key -> its rows, sorted; the key is the file's name where that is enough."""
        by_tail: dict[str, list[Row]] = {}
        for row in self.images:
            by_tail.setdefault(row["image"], []).append(row)
        names = [tail.rpartition("/")[2] for tail in by_tail]
        unique = len(set(names)) == len(names)
        if len(by_tail) == 1 and self.study == keys.key(next(iter(by_tail))):
            return {"0": next(iter(by_tail.values()))}
        longest = keys.longest_image(self.source, self.study)
        named = {
            keys.key(tail.rpartition("/")[2] if unique else tail, longest): rows
            for tail, rows in by_tail.items()
        }
        return dict(sorted(named.items(), key=lambda item: _natural(item[0])))

    def _count(self, listed: Mapping[str, Sequence[Row]]) -> None:
        """Count what rows noted, rows that repeat others, and files beyond the first."""
        every = [*self.images, *(row for rows in self.further.values() for row in rows)]
        for row in every:
            self.notes.update(json.loads(row.get("notes", "{}")))
        for rows in (*listed.values(), *self.further.values()):
            said = [tuple(sorted((k, v) for k, v in r.items() if k not in _REPEATS)) for r in rows]
            self.notes["csv.repeated_row"] += len(said) - len(set(said))
        for rows in listed.values():
            self.notes["image.duplicate_file"] += int(rows[0].get("copies", 0))

    def _study(self, listed: Mapping[str, Sequence[Row]]) -> Study:
        every = [*self.images, *(row for rows in self.further.values() for row in rows)]
        for row in every:
            if row.get("fault"):
                raise IngestError(row["fault"])
        patient = self._patient(every)
        labels, outvoted = self._labels()
        images = tuple(
            self._image(image, rows[0], outvoted)
            for image, rows in listed.items()
            if not rows[0].get("lost")
        )
        report = self._report(listed)
        age = _ages(every)
        return Study(
            source=self.source,
            key=self.study,
            patient=patient,
            split=self._split(every, patient),
            images=images,
            report=report,
            labels=labels,
            labels_from=self._labels_from() if labels else "",
            sex=_sole(every, "sex", "csv.conflict"),
            age=age,
            when=min((row["when"] for row in every if row.get("when")), default=""),
        )

    def _patient(self, rows: Sequence[Row]) -> str:
        patient = _sole(rows, "patient", "study.two_patients")
        self.notes["patient.unknown"] += not patient
        return patient or self.study

    def _split(self, rows: Sequence[Row], patient: str) -> str:
        split = _sole(rows, "split", "split.conflict")
        if split in ("", "train_val"):
            return self.rule.split(patient, held_out=split != "train_val")
        return split

    def _parts(self) -> Iterator[tuple[Sequence[Row], Labels | None, Readers | None]]:
        """Yield the rows of each kind of table, with what the options say of their labels."""
        yield self.images, self.options.labels, self.options.readers
        for name, rows in sorted(self.further.items()):
            also = self.options.also[int(name.removeprefix("also"))]
            yield rows, also.labels, also.readers

    def _labels(self) -> tuple[dict[str, int], set[str]]:
        """Return (the study's labels, those of them that are negative)."""
        sets, derived, wanted = [], False, False
        for rows, options, readers in self._parts():
            wanted |= options is not None
            derived |= options is not None and options.no_finding == "derived"
            sets.append(self._of_table(rows, options, readers))
        masks = [
            merging.agreed(json.loads(row["masked"]) for row in found)
            for rows, _, _ in self._parts()
            for found in _by_image(rows, "masked").values()
        ]
        # one that is derived need not be the same in all tables
        kept = [{k: v for k, v in each.items() if k != NO_FINDING} for each in sets]
        sets = kept if derived and any(kept) else sets
        labels = merging.agreed((*sets, merging.strongest(masks)))
        self.notes["label.missing"] += wanted and not labels
        labels = merging.with_no_finding(labels) if derived else labels
        return dict(sorted(labels.items())), {name for name, value in labels.items() if value == 0}

    def _of_table(
        self, rows: Sequence[Row], options: Labels | None, readers: Readers | None
    ) -> dict[str, int]:
        """Return the labels of one table: first of each image's rows, then of the study."""
        soft = options is not None and bool(options.list or options.family == "complete")
        join = merging.strongest if soft else merging.agreed
        by_image = _by_image(rows, "labels")
        if readers is None and not soft and self.options.reports == "first" and by_image:
            return self._of_first(by_image)
        if readers is None:
            # a list may have a row for each name; columns have all names in each row
            same = merging.strongest if options and options.list else merging.agreed
            return join(
                same(json.loads(row["labels"]) for row in found) for found in by_image.values()
            )
        merged = []
        for found in by_image.values():
            by_reader: dict[str, list[Row]] = {}
            for row in found:
                # a list has a row for each name, so rows of nobody are those of one reader
                one = bool(readers.column and options and options.list)
                who = row.get("reader") or ("" if one else row[ORDER])
                by_reader.setdefault(who, []).append(row)
            sets = [join(json.loads(r["labels"]) for r in each) for each in by_reader.values()]
            merged.append(merging.of_readers(sets, readers.merge))
        return join(merged)

    def _of_first(self, by_image: Mapping[str, Sequence[Row]]) -> dict[str, int]:
        """Return the labels of the study's first image, whose report counts too.

        Labels that were read from reports differ where the reports of a study differ.
        """
        sets = [
            merging.agreed(json.loads(row["labels"]) for row in by_image[tail])
            for tail in sorted(by_image, key=_natural)
        ]
        self.notes["label.differs"] += any(each != sets[0] for each in sets)
        return sets[0]

    def _labels_from(self) -> str:
        found = sorted({row["labels_by"] for rows, _, _ in self._parts() for row in rows
                        if row.get("labels_by")})  # fmt: skip
        stated = [
            each.by for _, each, _ in self._parts() if each and each.by and "{" not in each.by
        ]
        return "+".join(found) or (stated[0] if stated else self.source)

    def _image(self, image: str, row: Row, absent: set[str]) -> Image:
        tail = row["image"]
        everywhere = [r for rows, _, _ in self._parts() for r in rows if r.get("image") == tail]
        voted = any(readers is not None for _, _, readers in self._parts())
        found = [
            Found(label, tuple(sides), frame and tuple(frame), phrase)
            for r in everywhere
            for label, sides, frame, phrase in json.loads(r.get("boxes", "[]"))
        ]
        kept = [box for box in found if box.label not in absent]
        self.notes["box.outvoted" if voted else "box.contradicts"] += len(found) - len(kept)
        boxes, frame = self._in_one_frame(kept)
        polarity = next((r["polarity"] for r in everywhere if r.get("polarity")), "")
        view = _view(everywhere)
        return Image(image, row["path"], "", *view, boxes, frame, polarity=polarity)

    def _in_one_frame(self, found: Sequence[Found]) -> tuple[tuple[SourceBox, ...], Frame]:
        """Return boxes in the frame of the first; one that cannot be given in it is noted."""
        ordered = sorted(set(found), key=lambda box: (box.frame is None, box))
        frame = ordered[0].frame if ordered else None
        boxes = []
        for box in ordered:
            if box.frame != frame and not (box.frame and frame):
                self.notes["box.bad_value"] += 1
                continue
            fx = fy = 1.0
            if box.frame and frame and box.frame != frame:
                fx, fy = frame[0] / box.frame[0], frame[1] / box.frame[1]
            x, y, w, h = box.sides
            boxes.append(SourceBox(box.label, x * fx, y * fy, w * fx, h * fy, box.phrase))
        boxes.sort(key=lambda b: (b.label, b.x, b.y, b.w, b.h))
        return tuple(boxes), frame

    def _report(self, listed: Mapping[str, Sequence[Row]]) -> ReportRef | None:
        rows = [row for rows in listed.values() for row in rows]
        rows += [row for found in self.further.values() for row in found]
        stated = [row for row in rows if row.get("report")]
        if not stated:
            self.notes["report.missing"] += any("report_blank" in row for row in rows)
            return None
        texts = {row.get("sha256") or row["report"] for row in stated}
        if len(texts) > 1 and self.options.reports == "same":
            raise IngestError("report.conflict")
        first = stated[0]
        return ReportRef(first["report"], first.get("member", ""), first.get("sha256", ""))


def _natural(key: str) -> list[tuple[int, str]]:
    """Return what sorts view2 before view10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", key)
    return [(int(part), part) if part.isdigit() else (-1, part) for part in parts]


def _by_image(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    """Return the rows of each image that have a value."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.get(name):
            found.setdefault(row.get("image", ""), []).append(row)
    return found


def _sole(rows: Iterable[Row], name: str, code: str) -> str:
    """Return the value that rows share, "" if none has one. Raises IngestError `code`."""
    found = {row[name] for row in rows if row.get(name)}
    if len(found) > 1:
        raise IngestError(code)
    return next(iter(found), "")


def _view(rows: Iterable[Row]) -> tuple[str, str]:
    """Return the (view, projection) that rows of an image state; a row may state only one of them.

    Raises IngestError csv.conflict.
    """
    found = [views.of(word) for word in {row["view"] for row in rows if row.get("view")}]
    kinds = {view for view, _ in found if view != "unknown"}
    projections = {projection for _, projection in found if projection}
    exact = projections - {view.upper() for view in kinds}  # PA says more than FRONTAL
    if len(kinds) > 1 or len(exact) > 1:
        raise IngestError("csv.conflict")
    return next(iter(kinds), "unknown"), next(iter(exact or projections), "")


def _ages(rows: Iterable[Row]) -> int | None:
    """Return the age that rows share; images of two days may differ by a birthday."""
    found = {int(row["age"]) for row in rows if row.get("age")}
    if found and max(found) - min(found) > 1:
        raise IngestError("csv.conflict")
    return min(found, default=None)
