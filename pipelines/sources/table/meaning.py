"""What the columns of one table mean: its options, as picks from a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.sources.table.options import (
    Also,
    Boxes,
    Labels,
    Masks,
    Options,
    Readers,
)
from cxr_vlp.pipelines.sources.table.values import FACTS, Pick, pick

_LONGEST_NAME = 60  # characters of a column's name; what is longer is text
Stated = tuple[str, Pick]  # a dotted option, and what it picks


@dataclass(frozen=True)
class Meaning:
    """The picks of one table's rows; those of the images, or those that are joined to them."""

    image: Pick
    study: Pick
    facts: Mapping[str, Pick]
    text: Pick
    report_file: Pick
    sections: Mapping[str, Pick]
    labels: Labels | None
    boxes: Boxes | None
    masks: Masks | None
    readers: Readers | None
    constants: Mapping[str, str] = field(default_factory=dict)
    photometric: Pick = field(default_factory=Pick)
    exclude: Mapping[str, Sequence[str]] = field(default_factory=dict)  # column -> values

    @classmethod
    def of_images(cls, options: Options) -> Meaning:
        """Return the meaning of the tables that list the images."""
        return cls(
            pick(options.image),
            pick(options.study),
            {name: pick(value) for name in FACTS if (value := getattr(options, name))},
            pick(options.text),
            pick(options.report_file),
            {name: pick(column) for name, column in options.sections.items()},
            options.labels,
            options.boxes,
            options.masks,
            options.readers,
            {str(name): value for name, value in options.constants.items()},
            pick(options.photometric),
            options.exclude,
        )

    @classmethod
    def of_also(cls, also: Also) -> Meaning:
        """Return the meaning of a further table."""
        return cls(
            pick(also.image),
            pick(also.study),
            {name: pick(value) for name, value in also.facts.items() if value},
            pick(also.text),
            Pick(),
            {name: pick(column) for name, column in also.sections.items()},
            also.labels,
            also.boxes,
            also.masks,
            also.readers,
        )

    @property
    def labels_by(self) -> Pick:
        """What picks who gave the labels of a row; nothing where it is the same for all rows."""
        by = self.labels.by if self.labels else ""
        return pick(by) if "{" in by else Pick()

    @property
    def has_text(self) -> bool:
        """Whether a row has the text of a report."""
        return bool(self.text or self.sections)

    def stated(self) -> Iterator[Stated]:
        """Yield every option that names columns, each with what it picks."""
        yield from (("reader.image", self.image), ("reader.study", self.study))
        yield from ((f"reader.{name}", each) for name, each in self.facts.items())
        yield from (("reader.text", self.text), ("reader.report_file", self.report_file))
        yield from (("reader.photometric", self.photometric), ("reader.labels.by", self.labels_by))
        yield from (("reader.exclude", Pick((column,))) for column in self.exclude)
        yield from ((f"reader.sections.{name}", each) for name, each in self.sections.items())
        yield from (("reader.labels.columns", each) for each in self._of_labels())
        if self.masks:
            yield "reader.masks.column", pick(self.masks.column)
        for name, columns in self._parts():
            yield from ((name, Pick((column,))) for column in columns if column)

    def _of_labels(self) -> Iterator[Pick]:
        """Yield what picks each column of labels, or its other spelling: `Other disease(s)`."""
        found: dict[str, list[Pick]] = {}
        for column in self.labels.columns if self.labels else ():
            found.setdefault(canonical(column), []).append(Pick((column,)))
        yield from (Pick(alternatives=tuple(each)) for each in found.values())

    def _parts(self) -> Iterator[tuple[str, Iterable[str]]]:
        if self.labels:
            yield "reader.labels.list", (self.labels.list,)
        if self.boxes:
            boxes = self.boxes
            yield "reader.boxes", (*boxes.corners, *boxes.sides, boxes.label, boxes.phrase)
            yield "reader.boxes.frame", (each for each in boxes.frame if isinstance(each, str))
        if self.masks:
            yield "reader.masks.frame", (each for each in self.masks.frame if isinstance(each, str))
        if self.readers:
            yield "reader.readers.column", (self.readers.column,)

    @property
    def _may_lack_readers(self) -> bool:
        return self.readers is not None and self.readers.optional

    def columns(self) -> list[str]:
        """Return every column that is read."""
        return list(dict.fromkeys(c for _, each in self.stated() for c in each.named()))

    def check(self, headers: Mapping[str, Sequence[str]], needed: Sequence[str]) -> None:
        """Check that each option is in one of the tables, and those `needed` in each of them.

        `headers`: file name -> columns. Raises DataError csv.header with the columns that there
        are.
        """
        for option, each in self.stated():
            if not each or (option == "reader.readers.column" and self._may_lack_readers):
                continue
            lacking = [name for name, header in headers.items() if not each.among(header)]
            if lacking and (
                option.removeprefix("reader.") in needed or len(lacking) == len(headers)
            ):
                column = next(c for c in each.named() if c not in headers[lacking[0]])
                raise DataError(
                    f"csv.header: {lacking[0]}: no column {column!r} (option {option}); "
                    f"{has_columns(lacking[0], headers[lacking[0]])}"
                )


def is_header(header: Sequence[str]) -> bool:
    """Return whether a table's first line may be names of columns: no numbers, no long text."""
    return all(len(name) <= _LONGEST_NAME and cells.number(name) is None for name in header)


def has_columns(file: str, header: Sequence[str]) -> str:
    """Return which columns a table has, for a message."""
    if not is_header(header):  # it is a row, and no message may hold that
        return f"the first line of {file} is no header, and must name the columns"
    return f"{file} has the columns {', '.join(header[:30])}"
