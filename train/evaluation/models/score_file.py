"""Scores that another program made: `--scores FILE`, a table with a row an image.

key                     names the image (models/join says how); `image`, `path`, `study` do too
LABEL or score:LABEL    the score of a label under any of its spellings; higher is more likely
truth:LABEL             1, 0, -1 (uncertain) or empty; only used where no shards are given
collection, patient, study, view, projection, sex, age    only used where no shards are given

Where there is a column `score:...`, only such columns are scores. Rows are joined to images by the
key. A row of an image that is not evaluated is counted; an image without a row is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.pipelines.format.sample import LABELS
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models import checkpoints, join, score_table
from cxr_vlp.train.evaluation.models.base import SourceScores
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, ScoreTable, Truth

SCORE, TRUTH, NO_FINDING = "score:", "truth:", "no_finding:"
ABOUT = (
    *join.COLUMNS, "collection", "source", "dataset", "patient", "view", "projection", "sex", "age",
    "split", "hash",
)  # fmt: skip
SHOWN = 3  # lines in a message


class ScoreFile:
    """A table of scores; `ScoreSource` says what each member is."""

    def __init__(self, path: Path) -> None:
        self.table = score_table.read(path)
        self.name, self.digest = path.stem, checkpoints.digest(path)
        lowered = {name.lower(): name for name in self.table.columns}
        self.about = {name: lowered[name] for name in ABOUT if name in lowered}
        self.scores = self._labelled(SCORE) or self._labelled("")
        self.truths = self._labelled(TRUTH)
        named = [self.about[name] for name in join.COLUMNS if name in self.about]
        if not named:
            raise DataError(
                f"{path}: no column of {', '.join(join.COLUMNS)}, which names the image of a row"
            )
        if not self.scores:
            raise DataError(f"{path}: no column of scores: a label's name, or score:LABEL")
        self.keys = self.table.texts(named[0])
        self.facts: dict[str, Any] = {
            "kind": "scores",
            "file": path.name,
            "rows": len(self.keys),
            "joined_by": named[0],
            "labels": [name for name in self.scores if name in LABELS],
        }

    def known(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the labels that the file scores."""
        return tuple(name for name in names if canonical(name) in self.scores)

    def scored(self, images: Sequence[ImageFacts], names: Sequence[str]) -> SourceScores:
        """Return the scores of the images. Raises DataError where an image has no row."""
        columns = [self._column(canonical(name)) for name in names]
        values = np.stack(columns, axis=1) if columns else np.empty((len(self.keys), 0))
        rows, unused = self._rows(images)
        scores = values[rows]
        notes = (f"{self.table.path}: {unused} rows of images that are not evaluated",)
        return SourceScores(scores, _are_probabilities(scores), notes if unused else ())

    def alone(self) -> ScoreTable:
        """Return the file as the table of an evaluation without shards, by its columns `truth:`.

        A label is one of it where it has both columns. Without a column `patient` each image is a
        patient of its own. Raises DataError without a label, and for a key that is there twice.
        """
        names = tuple(name for name in self.scores if name in self.truths)
        if not names:
            raise DataError(
                f"{self.table.path}: no label has a column of scores and a column {TRUTH}LABEL: "
                "give --shards, whose labels are the truth, or add the columns"
            )
        self._check_distinct()
        facts = self._facts(names)
        order = sorted(range(len(facts)), key=lambda i: (facts[i].source, facts[i].key))
        scores = np.stack([self._column(name) for name in names], axis=1)[order]
        truth = np.stack([self._truth(name) for name in names], axis=1)[order]
        return ScoreTable(
            facts=tuple(facts[i] for i in order),
            names=names,
            scores=scores,
            truth=truth,
            no_finding={name: v[order] for name, v in self._no_finding.items()},
            probabilities=_are_probabilities(scores),
        )

    @property
    def has_patients(self) -> bool:
        """Whether a column names the patients; without it intervals are by image."""
        return "patient" in self.about

    @cached_property
    def _no_finding(self) -> Mapping[str, Floats]:
        found = [name for name in self.table.columns if name.startswith(NO_FINDING)]
        return {name.removeprefix(NO_FINDING): self.table.numbers(name) for name in found}

    def _labelled(self, prefix: str) -> dict[str, str]:
        """Return label -> column of the columns with a prefix; "": without any."""
        made: dict[str, str] = {}
        for column in self.table.columns:
            if not column.startswith(prefix):
                continue
            if not prefix and (":" in column or column.lower() in ABOUT):
                continue
            label = canonical(column.removeprefix(prefix))
            if label in made:
                raise DataError(
                    f"{self.table.path}: the columns {made[label]!r} and {column!r} are one label, "
                    f"{label}"
                )
            made[label] = column
        return made

    def _column(self, label: str) -> Floats:
        return self.table.numbers(self.scores[label])

    def _truth(self, label: str) -> Truth:
        column = self.truths[label]
        found = self.table.numbers(column, empty=EXCLUDED)
        for value, line in zip(found, self.table.lines, strict=True):
            if value not in (1, 0, -1):
                raise DataError(
                    f"{self.table.path}, line {line}, column {column!r}: truth is 1, 0, -1 or empty"
                )
        return found.astype(np.int8)

    def _rows(self, images: Sequence[ImageFacts]) -> tuple[list[int], int]:
        """Return the row of each image, and the number of rows that belong to none."""
        index = join.Index(images)
        row_of: dict[int, int] = {}
        unused = 0
        for row, key in enumerate(self.keys):
            places = index.find(key)
            self._check_match(row, places, row_of)
            unused += not places
            row_of.update(dict.fromkeys(places, row))
        missing = len(images) - len(row_of)
        if not row_of:
            raise DataError(
                f"{self.table.path}: none of its {len(self.keys)} rows names an image of these "
                f"shards: the column {self.facts['joined_by']!r} has to hold a key "
                "(dataset-study-image), its 16-digit hash, or the image's path in its collection"
            )
        if missing:
            raise DataError(
                f"{self.table.path}: {missing} of {len(images)} images have no row: score them "
                "too, or evaluate the views and collections that the file covers (evaluate.views, "
                "--shards)"
            )
        return [row_of[place] for place in range(len(images))], unused

    def _check_match(self, row: int, places: Sequence[int], row_of: Mapping[int, int]) -> None:
        where = f"{self.table.path}, line {self.table.lines[row]}"
        if len(places) > 1 and self.facts["joined_by"].lower() != "study":
            raise DataError(f"{where}: {len(places)} images have this name: give their keys")
        for place in places:
            if place in row_of:
                first = self.table.lines[row_of[place]]
                raise DataError(f"{where}: the image of line {first} again")

    def _check_distinct(self) -> None:
        first: dict[str, int] = {}
        for key, line in zip(self.keys, self.table.lines, strict=True):
            if not key or key in first:
                what = f"the key of line {first[key]} again" if key else "no key"
                raise DataError(f"{self.table.path}, line {line}: {what}")
            first[key] = line

    def _facts(self, names: Sequence[str]) -> list[ImageFacts]:
        empty = [""] * len(self.keys)

        def column(*wanted: str) -> list[str]:
            found = next((self.about[name] for name in wanted if name in self.about), None)
            return empty if found is None else self.table.texts(found)

        collections = [each or "scores" for each in column("collection", "source", "dataset")]
        truths = {name: self._truth(name) for name in names}
        stated = {n: self.table.texts(self.truths[n]) for n in names}
        return [
            ImageFacts(
                key=key,
                source=collection,
                patient=f"{collection}/{patient.removeprefix(f'{collection}/') or key}",
                study=f"{collection}/{study.removeprefix(f'{collection}/') or key}",
                view=view or "unknown",
                projection=projection,
                sex=sex,
                age=None if not age else int(float(age)),
                labels={n: int(truths[n][row]) for n in names if stated[n][row]},
            )
            for row, (key, collection, patient, study, view, projection, sex, age) in enumerate(
                zip(
                    self.keys, collections, column("patient"), column("study"), column("view"),
                    column("projection"), column("sex"), column("age"), strict=True,
                )
            )
        ]  # fmt: skip


def _are_probabilities(scores: Floats) -> bool:
    return bool(((scores >= 0) & (scores <= 1)).all())
