"""Writes the page of a card, README.md: a header for the Hugging Face hub, then Markdown.

The page holds counts, names and terms: no id, no report text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxr_vlp.pipelines.cards import facts as facts_of
from cxr_vlp.pipelines.cards import hub_header, sample_table, terms
from cxr_vlp.pipelines.cards.facts import Facts
from cxr_vlp.pipelines.cards.subject import Shard, Subject, pattern

_WORDS = {"F": "female", "M": "male", "": "unknown"}


def markdown(subject: Subject, facts: Facts, figures: Mapping[str, str]) -> str:
    """Return the page; `figures` gives the path of each figure -> what it shows."""
    sections = (
        ("", _about(subject, facts)),
        ("Access terms", _terms(subject)),
        ("Read it", _reading(subject)),
        ("Images: listed, lost, written", _flow(facts)),
        ("Splits", _splits(facts)),
        ("Labels", _labels(facts)),
        ("Texts, views, sexes", _counts(facts)),
        ("Figures", (f"![{says}]({path})" for path, says in figures.items())),
        ("A sample", _sample(subject)),
        ("Columns of samples.parquet", _columns()),
        ("How it was made", _made(subject)),
        ("Citation", _citation(subject)),
    )
    parts = [hub_header.front_matter(subject, facts), f"# {_escaped(subject.title)}"]
    for title, blocks in sections:
        parts += ([f"## {title}"] if title else []) + list(blocks)
    return "\n\n".join(parts)


def _about(subject: Subject, facts: Facts) -> Iterator[str]:
    images = "1 chest X-ray image" if facts.images == 1 else f"{facts.images:,} chest X-ray images"
    several = f" of {len(subject.parts)} sets" if subject.joined else ""
    yield (
        f"{images}{several} as WebDataset shards: in every tar an image, its caption and a JSON "
        "object with report sections, sentences, labels and origin."
    )
    if facts.repeated_keys:
        yield (
            f"{facts.repeated_keys:,} samples are in more than one of the sets. A trainer sees "
            "them more than once."
        )
    if facts.crossing_patients:
        yield (
            f"{facts.crossing_patients:,} patients are in more than one split, because the sets "
            "are split differently. A test on this folder would see patients of the training."
        )


def _terms(subject: Subject) -> Iterator[str]:
    for part in subject.parts:
        found = terms.of(part.header)
        yield f"{_licence(part.header, found)} {_escaped(found.sharing)}"
        for layer in part.header.get("layers", ()):
            yield f"With the annotations of {_licence(layer, terms.of_layer(layer))}"
    if any(terms.closed(part.header) for part in subject.parts):
        yield (
            "This page and `card.json` hold counts only. `samples.parquet` holds ids, the tars and "
            "the contact sheet hold images: they fall under the terms above. A repository on a hub "
            "must be private, whatever its access form says."
        )


def _licence(said: Mapping[str, Any], known: terms.Terms) -> str:
    """Return title and licence of a collection or a layer, with links to terms and files."""
    links = {known.home: "home", known.licence_link: "terms"}  # one where both are the same page
    shown = ", ".join(f"[{name}]({link})" for link, name in links.items() if link)
    where = f" ({shown})" if shown else ""
    return f"**{_escaped(said['title'])}**: {_escaped(said['licence'])}{where}."


def _reading(subject: Subject) -> Iterator[str]:
    split = subject.splits[0]
    shards = subject.of_split(split)
    yield "In the folder of this page:"
    yield _code("python", _python(subject, split, shards))
    yield _code("sql", ("SELECT view, count(*) FROM 'samples.parquet' GROUP BY view;  -- DuckDB",))
    yield "open_clip reads the number of samples from `sizes.json`, for one set and for several:"
    for each in subject.splits:
        flag = {"train": "--train-data", "validate": "--val-data"}.get(each)
        if flag:
            yield _code("bash", (f"{flag} '{pattern(subject.of_split(each), f'{each}/')}'",))
    yield (
        "Without this page or `features.json`, `datasets` guesses the types from the first five "
        "samples of a split and fails at a later one: the lists of a sample may be empty, and its "
        "labels are those that are mentioned. Every other key is always there. A label that is not "
        "mentioned is absent in the JSON, and null in `datasets`."
    )


def _python(subject: Subject, split: str, shards: Sequence[Shard]) -> Iterator[str]:
    form = ";".join(subject.forms)
    yield "import os"
    yield ""
    yield "import datasets"
    yield ""
    named = hub_header.SPLIT_NAMES[split]
    yield 'folder = os.path.abspath(".")  # of this page: datasets takes no "."'
    yield f'samples = datasets.load_dataset(folder, split="{named}", streaming=True)  # typed'
    if subject.joined:
        one = hub_header.config_of(subject, subject.parts[0].name)
        yield f'one_set = datasets.load_dataset(folder, "{one}", streaming=True)'
    yield ""
    yield "import webdataset as wds"
    yield f'tars = "{pattern(shards, f"{split}/")}"'
    yield 'pairs = wds.WebDataset(tars, shardshuffle=100, empty_check=False).decode("pil")'
    yield f'pairs = pairs.to_tuple("{form}", "txt", "json")'
    yield ""
    yield "import pyarrow.parquet as pq  # any image is one read away"
    yield 'row = pq.read_table("samples.parquet").slice(0, 1).to_pylist()[0]'
    yield "with open(f\"{row['split']}/{row['shard']}\", \"rb\") as tar:"
    yield '    tar.seek(row["offset"])'
    yield '    image = tar.read(row["bytes"])'


def _flow(facts: Facts) -> Iterator[str]:
    reasons = dict.fromkeys(name for rows in facts.flow.values() for name, _ in rows[1:-1])
    of_sets = {_escaped(name): dict(rows) for name, rows in facts.flow.items()}
    rows = [
        [_reason(name), *(found.get(name, 0) for found in of_sets.values())]
        for name in ("images listed", *reasons, "samples written")
    ]
    yield _table(["", *of_sets], rows, total=True)
    left_out = " and those left out by the selection" if facts.selected else ""
    yield (
        f"The samples written are the images listed less those lost{left_out}. A loss has its step "
        "and code."
    )


def _reason(name: str) -> str:
    if name == facts_of.LEFT_OUT:
        return "left out by the selection"
    return f"lost: {name.removeprefix('- ')}" if name.startswith("- ") else name


def _splits(facts: Facts) -> Iterator[str]:
    rows = [
        [
            _escaped(name),
            each.split,
            each.images,
            each.studies,
            each.patients,
            each.tars,
            each.bytes / 1e6,
        ]
        for name, splits in facts.splits.items()
        for each in splits
    ]
    yield _table(["set", "split", "images", "studies", "patients", "tars", "MB"], rows)
    yield "`datasets` calls the split `validate` `validation`."


def _labels(facts: Facts) -> Iterator[str]:
    rows = [
        [
            _escaped(name), counts["positive"], counts["negative"], counts["uncertain"],
            facts.images - sum(counts.values()),
        ]
        for name, counts in facts.labels.items()
    ]  # fmt: skip
    if rows:
        yield _table(["label", "positive (1)", "negative (0)", "uncertain (-1)", "not said"], rows)
    else:
        yield "No image has a label of the label sets."
    others = f" `labels_other` has {facts.others:,} further names." if facts.others else ""
    given = ", ".join(f"{_escaped(name)} ({n:,})" for name, n in facts.labels_from.items() if name)
    yield f"Labels are given by: {given or 'nobody'}.{others}"


def _counts(facts: Facts) -> Iterator[str]:
    rows: list[list[Any]] = [["view", _escaped(name), n] for name, n in facts.views.items()]
    rows += [["sex", _WORDS.get(name, _escaped(name)), n] for name, n in facts.sexes.items()]
    rows += [["images with", f"`{name}`", n] for name, n in facts.with_text.items()]
    yield _table(["", "", "images"], rows)


def _sample(subject: Subject) -> Iterator[str]:
    forms = " or ".join(f"`KEY.{form}`" for form in subject.forms)
    yield (
        f"{forms} is the image, 8-bit grey. `KEY.txt` is the caption. `KEY.json` holds all else; "
        "the header of this page and `features.json` list its fields. `sizes.json` gives the "
        "number of samples of every tar. `wids.json` and `croissant.json` index the tars and the "
        "table."
    )


def _columns() -> Iterator[str]:
    own = [c for c in sample_table.COLUMNS if not c[0].startswith(sample_table.LABEL)]
    rows: list[list[Any]] = [[f"`{name}`", f"`{kind}`", says] for name, kind, says in own]
    label, kind, says = next(c for c in sample_table.COLUMNS if c[0].startswith(sample_table.LABEL))
    rows.append([f"`{label}`, ...", f"`{kind}`", says])
    yield "A row a sample. There is no report text in it."
    yield _table(["column", "type", ""], rows)


def _made(subject: Subject) -> Iterator[str]:
    for part in subject.parts:
        made, header = part.header["shards"], part.header
        ids = "the collection's own" if header["ids"] == "source" else "salted hashes"
        yield (
            f"{_escaped(part.name)}: images `{made['resize']}` {made['side']} pixels, "
            f"`{made['format']}`, recipe `{made['recipe']}`; ids are {ids}; shard format "
            f"{header['format']}, digest `{header['digest'][:16]}`."
        )
        if how := header.get("selection"):  # not its command: a condition may name ids
            yield (
                f"{_escaped(part.name)} is a selection of the set with the digest "
                f"`{how['source'][:16]}`; the first line of its `manifest.jsonl` says how it was "
                "chosen."
            )


def _citation(subject: Subject) -> Iterator[str]:
    found = dict.fromkeys(each for part in subject.parts for each in terms.citations(part.header))
    yield from map(_escaped, found)
    yield "The shards were made with cxr-vlp."


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, total: bool = False) -> str:
    """Return a Markdown table; `total` adds a column of sums where there are several numbers."""
    if total and len(columns) > 2:
        columns, rows = [*columns, "all"], [[*row, sum(row[1:])] for row in rows]
    numbers = [isinstance(value, int | float) for value in rows[0]]
    lines = [columns, ["---:" if number else "---" for number in numbers]]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _escaped(text: str) -> str:
    """Return a name that Markdown shows as it is."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text


def _code(language: str, lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])
