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
import numpy.typing as npt

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


class NoRowError(DataError):
    """No row of a file names an image of those that are asked for."""


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
        rows = self._rows(images)
        scores = values[rows]
        self._refuse_empty(np.isnan(scores), rows, names)
        asked = {how: column[rows] for how, column in self._no_finding.items()}
        return SourceScores(
            scores,
            _are_probabilities(scores),
            no_finding={how: found for how, found in asked.items() if not np.isnan(found).any()},
            unused=frozenset(range(len(self.keys))) - set(rows),
        )

    def alone(self, split: str = "") -> ScoreTable:
        """Return the file as the table of an evaluation without shards, by its columns `truth:`.

        A label is one of it where it has both columns; a collection that has no such label has nan
        for its scores. Without a column `patient` each image is a patient of its own. Raises
        DataError without a label, for a key that is there twice, and for a row of another split
        than the given one.
        """
        names = tuple(name for name in self.scores if name in self.truths)
        if not names:
            raise DataError(
                f"{self.table.path}: no label has a column of scores and a column {TRUTH}LABEL: "
                "give --shards, whose labels are the truth, or add the columns"
            )
        self._check_distinct()
        self._check_split(split)
        facts = self._facts(names)
        order = sorted(range(len(facts)), key=lambda i: (facts[i].source, facts[i].key))
        scores = np.stack([self._column(name) for name in names], axis=1)[order]
        truth = np.stack([self._truth(name) for name in names], axis=1)[order]
        # a collection that has no such label has no scores of it; one that has it has all of them
        stated = np.array([[n in facts[i].labels for n in names] for i in order])
        for source in {fact.source for fact in facts}:
            mine = np.array([facts[i].source == source for i in order])
            known = stated[mine].any(axis=0) | ~np.isnan(scores[mine]).all(axis=0)
            self._refuse_empty(np.isnan(scores) & mine[:, None] & known, order, names)
        return ScoreTable(
            facts=tuple(facts[i] for i in order),
            names=names,
            scores=scores,
            truth=truth,
            no_finding={name: v[order] for name, v in self._no_finding.items()},
            probabilities=_are_probabilities(scores),
        )

    def states(self, what: str) -> bool:
        """Return whether the file has a column of this fact, such as patient or view."""
        return what in self.about

    @cached_property
    def _no_finding(self) -> Mapping[str, Floats]:
        found = [name for name in self.table.columns if name.startswith(NO_FINDING)]
        return {
            name.removeprefix(NO_FINDING): self.table.numbers(name, empty=np.nan) for name in found
        }

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
        return self.table.numbers(self.scores[label], empty=np.nan)

    def _refuse_empty(
        self, empty: npt.NDArray[np.bool_], rows: Sequence[int], names: Sequence[str]
    ) -> None:
        """Raise DataError for the first score that is needed and is not there."""
        for place, column in zip(*np.nonzero(empty), strict=True):
            line, name = self.table.lines[rows[place]], self.scores[canonical(names[column])]
            raise DataError(f"{self.table.path}, line {line}, column {name!r}: is empty")

    def _truth(self, label: str) -> Truth:
        column = self.truths[label]
        found = self.table.numbers(column, empty=EXCLUDED)
        for value, line in zip(found, self.table.lines, strict=True):
            if value not in (1, 0, -1):
                raise DataError(
                    f"{self.table.path}, line {line}, column {column!r}: truth is 1, 0, -1 or empty"
                )
        return found.astype(np.int8)

    def _rows(self, images: Sequence[ImageFacts]) -> list[int]:
        """Return the row of each image."""
        index = join.Index(images)
        row_of: dict[int, int] = {}
        for row, key in enumerate(self.keys):
            places = index.find(key)
            self._check_match(row, places, row_of)
            row_of.update(dict.fromkeys(places, row))
        missing = len(images) - len(row_of)
        if not row_of:
            raise NoRowError(
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
        return [row_of[place] for place in range(len(images))]

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

    def _check_split(self, split: str) -> None:
        given = self.table.texts(self.about["split"]) if "split" in self.about and split else []
        for value, line in zip(given, self.table.lines if given else [], strict=True):
            if value and value != split:
                raise DataError(
                    f"{self.table.path}, line {line}: not of the split {split}, which is measured: "
                    "give a file of this split alone, or name another --split"
                )

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
    return bool(((scores >= 0) & (scores <= 1) | np.isnan(scores)).all())
