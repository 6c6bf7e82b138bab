"""Picks a value out of a row: a column, a pattern of columns, the first of several, or a part."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.files.csv_tables import Row

FACTS = ("patient", "split", "view", "sex", "age", "birth", "date")
# Words of a split; "train_val" is divided further, by patient.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "validate"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
    **dict.fromkeys(("train_val", "trainval"), "train_val"),
}
_COLUMN = re.compile(r"\{([^{}]+)\}")
_PART = {"column", "pattern"}


@dataclass(frozen=True)
class Pick:
    """A value of a row, in one of its forms; `alternatives` are tried one after the other."""

    columns: tuple[str, ...] = ()
    template: str = ""  # with {column} in it; "": the cell of the only column
    part: re.Pattern[str] | None = None  # of the cell
    alternatives: tuple[Pick, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.columns or self.alternatives)

    def named(self) -> Iterable[str]:
        """Return the columns that are read."""
        return (*self.columns, *(c for each in self.alternatives for c in each.named()))

    def among(self, header: Sequence[str]) -> bool:
        """Return whether a table with this header can give the value."""
        if self.alternatives:
            return any(each.among(header) for each in self.alternatives)
        return bool(self.columns) and all(column in header for column in self.columns)

    def of(self, row: Row, *, plain: bool = True) -> str:
        """Return the value, "" if a cell of it is missing.

        `plain`: without blanks around it. Raises IngestError csv.id where a part is asked for and
        the cell does not have that form.
        """
        for each in self.alternatives:
            if found := each.of(row, plain=plain):
                return found
        if not self.columns:
            return ""
        if self.template:
            return self._filled(row)
        cell = row.get(self.columns[0], "")
        text = cells.known(cell)
        if self.part is not None and text:
            return self._part(text)
        return text if plain or not text else cell

    def _filled(self, row: Row) -> str:
        found = {column: cells.known(row.get(column)) for column in self.columns}
        if not all(found.values()):
            return ""
        return _COLUMN.sub(lambda match: found[match[1]], self.template)

    def _part(self, text: str) -> str:
        assert self.part is not None  # `of` looked
        match = self.part.search(text)
        if match is None:
            raise IngestError("csv.id")
        return "-".join(group for group in match.groups() if group) or match[0]


def pick(value: Any) -> Pick:
    """Return the Pick of a value that was checked."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Mapping):
        return Pick((value["column"],), part=re.compile(value["pattern"]))
    return Pick(alternatives=tuple(map(pick, value)))


@functools.lru_cache(maxsize=256)
def _of_text(value: str) -> Pick:
    columns = tuple(dict.fromkeys(_COLUMN.findall(value)))
    if columns:
        return Pick(columns, value)
    return Pick((value,) if value else ())


def checked(value: Any) -> Any:
    """Return a value of the options as it is kept. Raises ValueError for one of another form."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return tuple(map(_inner, value))
    return _inner(value)


def _inner(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - pydantic shows the message of a ValueError only
            "expected a column, a pattern like p{PatientID}, a list of columns, or "
            "{column: NAME, pattern: EXPRESSION}"
        )
    if set(value) != _PART or not all(isinstance(each, str) and each for each in value.values()):
        raise ValueError("expected the keys column and pattern, each with a text")
    try:
        re.compile(value["pattern"])
    except re.error as error:
        raise ValueError(f"the pattern is no regular expression: {error}") from None
    return dict(value)


def checked_tables(value: Any) -> Any:
    """Return the tables of the options as they are kept. Raises ValueError."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for word in value:
            if word not in SPLITS:
                raise ValueError(f"unknown split {word!r}; known: {', '.join(SPLITS)}")
        names = tuple(name for name in value.values() if name != "")
    else:
        names = tuple(value) if isinstance(value, list | tuple) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("expected a file, a list of files, or a file for each split")
    return dict(value) if isinstance(value, Mapping) else names


# Published sets of labels that `columns` and `of` may name as a whole.
FAMILIES = {"chexpert14": CHEXPERT14, "chestxray14": CHESTXRAY14, "vindr": VINDR}


def labels(value: Any) -> Any:
    """Return the keys and values that a short form of labels stands for.

    The columns alone, [A, B], or the name of a published set in their place: chexpert14.
    """
    if isinstance(value, list | tuple) or (isinstance(value, str) and value in FAMILIES):
        value = {"columns": value}
    if not isinstance(value, Mapping):
        return value
    named = {k: FAMILIES.get(v, v) for k, v in value.items() if isinstance(v, str)}
    return {**value, **{k: named[k] for k in ("columns", "of") if k in named}}
