"""The filters of the page: from the query of an address to a condition of SQL, and back.

A condition is what `cxr-vlp select --where` and `selection.query.matching` take. Filters of
different kinds are joined by "and", values of one kind by "or".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from cxr_vlp.pipelines.format.sample import LABELS

Pair = tuple[str, str]  # of the query of an address

PER_PAGE = 60
UNSET = "null"  # the value of a label that is not mentioned
VALUES = ("1", "0", "-1", UNSET)
# the status of a report, by the counts of its sentences
STATUSES: Mapping[str, str] = {
    "abnormal": "sentences_abnormal > 0",
    "uncertain": "(sentences_abnormal = 0 and sentences_uncertain > 0)",
    "normal": "(sentences_abnormal = 0 and sentences_uncertain = 0 and sentences_normal > 0)",
    "nonfinding": "(sentences > 0 and sentences = sentences_nonfinding)",
    "none": "sentences = 0",
}
CHOICES = ("dataset", "split", "view", "sex")
PRESENT: Mapping[str, str] = {"devices": "devices", "change": "changes", "boxes": "boxes"}
FIELDS: Mapping[str, str] = {  # where a text search looks
    "": "all texts",
    "report": "report",
    "caption": "caption",
    "findings": "names of findings",
}
_KNOWN = {*CHOICES, *PRESENT, "status", "note", "label", "age_from", "age_to", "where", "q", "in"}


class FilterError(Exception):
    """A filter has a value that it cannot have; the message is for the user."""


@dataclass(frozen=True)
class Filters:
    """The filters of an address: its pairs, without empty and unknown ones, in their order."""

    pairs: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Filters:
        """Return the filters in the query of an address."""
        kept = ((name, value.strip()) for name, value in pairs if name in _KNOWN)
        return cls(tuple(dict.fromkeys((name, value) for name, value in kept if value)))

    def all(self, name: str) -> list[str]:
        """Return all values of a filter."""
        return [value for found, value in self.pairs if found == name]

    def one(self, name: str) -> str:
        """Return the last value of a filter, "" if it has none."""
        return (self.all(name) or [""])[-1]

    def query(self, **more: object) -> str:
        """Return the query of an address, "?..." or ""; `more` is added to the filters."""
        added = [(name, str(value)) for name, value in more.items() if value not in ("", None)]
        pairs = [*self.pairs, *added]
        return f"?{urlencode(pairs)}" if pairs else ""

    def without(self, pair: Pair) -> Filters:
        """Return the filters without one of them."""
        return Filters(tuple(each for each in self.pairs if each != pair))

    def kinds(self) -> list[Filters]:
        """Return the filters of every kind alone: all must be passed, of one kind any."""
        found: dict[str, list[Pair]] = {}
        for name, value in self.pairs:
            kind = f"label {value.rpartition(':')[0]}" if name == "label" else name
            found.setdefault("q" if kind == "in" else kind, []).append((name, value))
        return [Filters(tuple(pairs)) for pairs in found.values()]

    @property
    def labels(self) -> set[str]:
        """The names of the labels that are asked for."""
        return {each.rpartition(":")[0] for each in self.all("label")}

    @property
    def condition(self) -> str:
        """The condition of SQL for all filters but the text search, "" if there is none.

        Raises FilterError.
        """
        parts = [part for part in (self.of_choices,) if part]
        if own := self.one("where"):
            end = "\n" if "--" in own else ""  # ends a comment at the end of the user's condition
            parts.append(f"({own}{end})")
        return " and ".join(parts)

    @property
    def of_choices(self) -> str:
        """The condition of all filters but the user's own and the text search. FilterError."""
        return " and ".join(self._conditions())

    def _conditions(self) -> Iterator[str]:
        for name in CHOICES:
            if values := self.all(name):
                no_sex = name == "sex"
                yield _among(name, ["" if no_sex and v == "unknown" else v for v in values])
        if statuses := self.all("status"):
            yield _joined(_of_status(status) for status in statuses)
        for name, column in PRESENT.items():
            if self.one(name):
                yield f"{column} {_sign(name, self.one(name))} 0"
        yield from self._of_ages()
        if notes := self.all("note"):
            yield _joined(f"list_contains(notes, {text(note)})" for note in notes)
        yield from self._of_labels()

    def _of_ages(self) -> Iterator[str]:
        for name, sign in (("age_from", ">="), ("age_to", "<=")):
            if value := self.one(name):
                if not (value.isascii() and value.isdigit() and len(value) < 4):
                    raise FilterError("An age is a whole number of years.")
                yield f"age {sign} {int(value)}"

    def _of_labels(self) -> Iterator[str]:
        asked: dict[str, list[str]] = {}
        for each in self.all("label"):
            name, _, value = each.rpartition(":")
            if value not in VALUES:
                raise FilterError("A label has the value 1, 0, -1 or null.")
            asked.setdefault(name, []).append(value)
        for name, values in asked.items():
            yield _joined(_of_label(name, value) for value in values)


def _among(name: str, values: Sequence[str]) -> str:
    if len(values) == 1:
        return f"{name} = {text(values[0])}"
    return f"{name} in ({', '.join(map(text, values))})"


def _of_status(status: str) -> str:
    if status not in STATUSES:
        raise FilterError(f"The status of a report is one of {', '.join(STATUSES)}.")
    return STATUSES[status]


def _sign(name: str, value: str) -> str:
    if value not in ("yes", "no"):
        raise FilterError(f"{name} is yes or no.")
    return ">" if value == "yes" else "="


def _of_label(name: str, value: str) -> str:
    if name in LABELS:
        return f'"{name}" is null' if value == UNSET else f'"{name}" = {value}'
    return _of_other_label(name, value)


def _of_other_label(name: str, value: str) -> str:
    # not as a column: columns differ by more than the case of letters, labels may not
    if value == UNSET:
        return f"not ({_joined(_of_other_label(name, each) for each in VALUES[:3])})"
    return f"list_contains(labels_other, {{'name': {text(name)}, 'value': {value}::tinyint}})"


def _joined(parts: Iterator[str]) -> str:
    found = list(parts)
    return found[0] if len(found) == 1 else f"({' or '.join(found)})"


def text(value: str) -> str:
    """Return a string of SQL."""
    return "'" + value.replace("'", "''") + "'"
