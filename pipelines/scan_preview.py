"""Shows what `scan` would find, from the tables and the names of the files: `scan --dry-run`.

No image and no report is opened, and nothing is written. Labels, boxes and splits are those of the
tables, and lists of `leave_out` and layers are used as `scan` uses them; what only a file can show
(its digest, a view in a DICOM header, a file that cannot be read) comes with the scan itself. All
rows are in memory at once: about 1 kB for an image.

No id is printed. A row that will be rejected is named by its file and line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.pipelines import cli, codes
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.format import accounting
from cxr_vlp.pipelines.records import Study
from cxr_vlp.pipelines.sources import base, ids
from cxr_vlp.pipelines.sources.base import Source, Table
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import ReadLayer
from cxr_vlp.pipelines.sources.leave_out import LeftOut, Met
from cxr_vlp.pipelines.sources.splits import PatientRule

PLACES = 3  # rows that are named for each code
MOST = 20  # labels that are shown


@dataclass
class Preview:
    """What the tables and the names of the files say of a collection."""

    tables: dict[str, int] = field(default_factory=dict)  # file -> rows
    listed: int = 0
    images: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # "scan code" -> images
    notes: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    splits_of: dict[str, str] = field(default_factory=dict)  # patient -> split
    in_two_splits: int = 0  # patients
    laid: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # layer -> images

    def header(self) -> dict[str, Any]:
        """Return the counts under the names that an inventory's header has for them."""
        return {
            "listed": self.listed,
            "dropped": dict(sorted(self.dropped.items())),
            "images": self.images,
            "studies": self.counts["found"]["studies"],
            "notes": dict(sorted(self.notes.items())),
        }


def of(
    source: Source,
    root: Root,
    rule: PatientRule,
    naming: ids.Ids,
    left_out: LeftOut,
    layers: Sequence[ReadLayer],
) -> Preview:
    """Read the tables and the names of the files, join them, and leave out what lists name.

    Raises ConfigError and DataError as `scan` does.
    """
    made = Preview()
    people: dict[str, list[Met]] = defaultdict(list)
    rows: dict[str, dict[str, list[Row]]] = {}
    tables = source.tables(root)
    for table in tables:
        number = 0
        for study, row in source.rows(root, table):
            rows.setdefault(study, {}).setdefault(table.name, []).append(row)
            number += 1
        if table.path or len(tables) == 1:  # a collection may be files alone
            made.tables[table.path or "files"] = number
    for study in sorted(rows):
        found = {table.name: rows[study].get(table.name, []) for table in tables}
        result = base.assembled(source, study, found, rule)
        _add(made, result, found, tables)
        if result.study is not None:
            met = left_out.met(result.study, naming, result.lost)
            people[met.study.patient].append(met)
    _leave_out(made, people.values(), left_out, layers)
    return made


def _leave_out(
    made: Preview,
    people: Iterable[Sequence[Met]],
    left_out: LeftOut,
    layers: Sequence[ReadLayer],
) -> None:
    """Count what is left of each patient's studies, and what the layers say of it."""
    named: dict[int, set[int]] = defaultdict(set)
    for person in people:
        kept = left_out.kept(person)
        made.dropped.update(f"scan {reject.code}" for reject in kept.rejects)
        for hit in (hit for met in person for hit in met.hits):
            named[hit.list].add(hit.id)
        for study in kept.studies:
            with_layers, matched = layered.lay(study, layers)
            for layer, images in matched.items():
                made.laid[layer].update(images)
            _count(made, with_layers)
    made.notes.update(left_out.notes({place: len(found) for place, found in named.items()}))
    for each in layers:
        made.notes.update(each.notes)
        name = each.layer.name
        made.notes[f"layer.unmatched:{name}"] += layered.unmatched(each, made.laid[name])
    made.notes = +made.notes


def _add(
    made: Preview, result: base.Assembled, rows: Mapping[str, list[Row]], tables: Sequence[Table]
) -> None:
    made.listed += result.listed
    for code, number in result.notes.items():
        name = codes.name_of(code)
        if code == name or not any(each.code == name for each in result.lost):
            made.notes[code] += number  # a place is shown once, with the reject
    for lost in result.lost:
        made.dropped[f"scan {lost.code}"] += lost.images
    for code, place in _places(result, rows, {table.name: table.path for table in tables}):
        if len(made.places[code]) < PLACES and place not in made.places[code]:
            made.places[code].append(place)


def _places(
    result: base.Assembled, rows: Mapping[str, list[Row]], files: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield (code, "file line n") of the rows that are rejected, where a reader gives the line."""
    wanted = {lost.code for lost in result.lost}
    for name, found in rows.items():
        file = files[name].rpartition("/")[2]
        for row in found:
            code = row.get("fault") or row.get("lost", "")
            number = row.get(base.ORDER) or row.get("number")
            if row.get("line") and row.get("file"):
                yield code, f"{row['file']} line {row['line']}"
            elif number and (code in wanted or (not code and _is_whole(result))):
                yield code or result.lost[0].code, f"{file} line {number}"


def _is_whole(result: base.Assembled) -> bool:
    """Return whether a study is refused as a whole, for what its rows say together."""
    return result.study is None and len({lost.code for lost in result.lost}) == 1


def _count(made: Preview, study: Study) -> None:
    made.images += len(study.images)
    counts = made.counts
    counts["found"]["studies"] += 1
    counts["found"]["reports"] += study.report is not None
    counts["found"]["textless"] += 0 if study.report or study.labels else len(study.images)
    counts["split"][study.split] += len(study.images)
    counts["label"].update(f"{name} {value}" for name, value in study.labels.items())
    for image in study.images:
        counts["view"][" ".join(filter(None, (image.view, image.projection)))] += 1
        counts["box"].update(box.label for box in image.boxes)
    if made.splits_of.setdefault(study.patient, study.split) != study.split:
        made.in_two_splits += 1


def show(source: Source, made: Preview, understood: Iterable[Sequence[str]]) -> None:
    """Print a preview: tables, columns, counts, and what will be rejected and why."""
    cli.show(f"scan {source.name}: what a scan would find", ("table", "rows"), _pairs(made.tables))
    columns = list(understood)
    if columns:
        cli.show("columns", ("option", "column", "how"), columns)
    patients = Counter(made.splits_of.values())
    found = {
        "studies": made.counts["found"]["studies"],
        "patients": len(made.splits_of),
        "reports": made.counts["found"]["reports"],
        "boxes": made.counts["box"].total(),
        **{f"with {layer}": len(images) for layer, images in sorted(made.laid.items())},
    }
    rows = accounting.rows(made.listed, made.header()["dropped"], made.images, "images found")
    cli.show("images", ("", "number"), [*rows, *_pairs(found)])
    splits = [(n, made.counts["split"][n], patients[n]) for n in sorted(made.counts["split"])]
    if splits:
        cli.show("splits", ("split", "images", "patients"), splits)
        cli.show("views", ("view", "images"), _pairs(made.counts["view"]))
    labels = _labels(made.counts["label"])
    if labels:
        cli.show("labels", ("label", "1", "-1", "0"), labels[:MOST])
        if len(labels) > MOST:
            cli.say(f"and {len(labels) - MOST} more labels")
    if made.notes:
        cli.show("notes", ("code", "number"), sorted(made.notes.items()))
    _say_rejects(source, made)
    if textless := made.counts["found"]["textless"]:
        cli.say(f"`texts` would reject {textless:,} images: {codes.advice('text.none', '')}")
    cli.say("nothing was written")


def _pairs(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(name, number) for name, number in counts.items() if number]


def _labels(counts: Mapping[str, int]) -> list[tuple[str, int, int, int]]:
    """Return (label, positive, uncertain, negative studies), the most frequent first."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for key, number in counts.items():
        name, _, value = key.rpartition(" ")
        values[name][value] = number
    rows = [(name, n["1"], n["-1"], n["0"]) for name, n in values.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _say_rejects(source: Source, made: Preview) -> None:
    """Print a line for each code that has a remedy, with the first rows that it concerns."""
    for code in [key.removeprefix("scan ") for key in sorted(made.dropped)]:
        meaning, remedy = codes.of(code)
        said = "; ".join(filter(None, (meaning, remedy)))
        where = ", ".join(made.places.get(code, ()))
        cli.say(f"{code}: {said}" + (f" ({where})" if where else ""))
    lost = {codes.name_of(key.removeprefix("scan ")) for key in made.dropped}
    noted = [code for code in made.notes if codes.name_of(code) not in lost]
    for line in codes.remedies(noted, source.views_from):
        cli.say(line)


def check(made: Preview) -> None:
    """Raise DataError split.two where a patient is in two splits, as `scan` does."""
    if made.in_two_splits:
        raise DataError(
            f"split.two: {made.in_two_splits:,} studies are of a patient who is in another split "
            "too; correct the list of splits"
        )
