"""The table of a set's samples: one row a sample, no report text (samples.parquet).

`card` writes it, and `select`, `export` and `inspect` read it. It is made from the JSON members of
the tars; no image is read. `offset` and `bytes` say where the image lies in its tar, so any image
of the set is one read away:

    with open(f"{folder}/{row.split}/{row.shard}", "rb") as tar:
        tar.seek(row.offset)
        image = tar.read(row.bytes)
"""

from __future__ import annotations

import functools
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.executor import pool
from cxr_vlp.pipelines.files import jsonl, privacy
from cxr_vlp.pipelines.format import manifest, tar, versions
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import LABELS, STATUSES

NAME = "samples.parquet"
_LABELS = frozenset(LABELS)
LABEL = "label_"  # begins the name of a label's column: "label_Pleural Effusion"
MEMBERS = 3  # image, json, txt: one key, in this order
_ROWS = 1 << 16  # of a row group


def _items(kind: pa.DataType) -> pa.DataType:
    """Return the type of a list as Parquet gives it back, so that a table is written alike."""
    return pa.list_(pa.field("element", kind))


_TEXT, _COUNT, _SIDE, _PLACE = pa.string(), pa.int32(), pa.int32(), pa.int64()
_LENGTHS = ("caption", "findings", "impression", "abnormal", "prior_free")
# each column: its name, its type, what it says
_FACTS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("key", _TEXT, "key of the sample; begins the names of its members"),
    ("shard", _TEXT, "file name of the tar, in the folder of its split"),
    ("offset", _PLACE, "first byte of the image in the tar"),
    ("bytes", _PLACE, "number of bytes of the image"),
    ("json_offset", _PLACE, "first byte of the JSON member in the tar"),
    ("json_bytes", _PLACE, "number of bytes of the JSON member"),
    ("txt_offset", _PLACE, "first byte of the caption in the tar"),
    ("txt_bytes", _PLACE, "number of bytes of the caption"),
    ("dataset", _TEXT, "the collection"),
    ("split", _TEXT, "train, validate or test"),
    ("patient", _TEXT, "id of the patient; the collection's own where `ids: source`"),
    ("study", _TEXT, "id of the study"),
    ("image", _TEXT, "id of the image in its study"),
    ("view", _TEXT, "frontal, lateral, other or unknown"),
    ("projection", _TEXT, "AP, PA, LL, ... as the collection gives it"),
    ("sex", _TEXT, 'F, M or ""'),
    ("age", pa.int16(), "years; null if unknown"),
    ("study_order", _COUNT, "place of the study in the patient's history, from 0; null if unknown"),
    ("height", _SIDE, "of the stored image, in pixels"),
    ("width", _SIDE, "of the stored image, in pixels"),
    ("source_height", _SIDE, "of the collection's image, in pixels"),
    ("source_width", _SIDE, "of the collection's image, in pixels"),
    ("notes", _items(_TEXT), "codes of what was unusual about the image"),
    ("labels_from", _TEXT, "who gave the labels: chexpert, negbio, nih, mesh, report, ..."),
)
_COUNTS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("sentences", _COUNT, "number of sentences of the report"),
    *((f"sentences_{status}", _COUNT, f"number of {status} sentences") for status in STATUSES),
    ("mentions", _COUNT, "number of mentions of findings and devices"),
    ("devices", _COUNT, "number of mentions of devices"),
    ("changes", _COUNT, "number of mentions that say a change since an earlier image"),
    ("prompts", _COUNT, "number of label prompt texts"),
    ("statements", _COUNT, "number of statements"),
    ("boxes", _COUNT, "number of bounding boxes"),
    ("phrases", _COUNT, "number of boxes with the words of a report"),
    ("comparisons", _COUNT, "number of changes since an earlier image that annotators saw"),
    *((f"{name}_chars", _COUNT, f"length of `{name}` in characters") for name in _LENGTHS),
    ("image_sha256", _TEXT, "SHA-256 of the collection's image file"),
    ("report_sha256", _TEXT, 'SHA-256 of the report, "" if there is none'),
)
_OTHERS = _items(pa.struct([("name", _TEXT), ("value", pa.int8())]))
COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    *_FACTS,
    *(
        (f"{LABEL}{name}", pa.int8(), "1 positive, 0 negative, -1 uncertain; null: not mentioned")
        for name in LABELS
    ),
    ("labels_other", _OTHERS, "the collection's further labels: name and value"),
    *_COUNTS,
)
SCHEMA = pa.schema([(name, kind) for name, kind, _ in COLUMNS])


def build(folder: Path, *, workers: int = 1) -> pa.Table:
    """Return the table of a set, in the order of its manifest and tars.

    The table's metadata holds the digest of the manifest, so that a reader can tell whether a
    stored table is that of the set. Raises ConfigError if the folder has no manifest, DataError for
    a broken one and for a tar that is damaged or holds another number of samples than it says.
    """
    header, lines = manifest_of(folder)
    tars = [line for line in lines if line["samples"]]
    calls = [functools.partial(of_tar, folder, line) for line in tars]
    parts = pool.with_progress(calls, workers, "table of samples")
    table = pa.concat_tables([SCHEMA.empty_table(), *parts])
    return marked(table, header["digest"])


def marked(table: pa.Table, digest: str) -> pa.Table:
    """Return a table that says of which set it is, by the digest of the set's manifest."""
    return table.replace_schema_metadata(_marks(digest))


def of_set(folder: Path, state: Path, *, workers: int = 1) -> pa.Table:
    """Return the table of a set, from the cache in `state` if the set has not changed since.

    The cache of a private set is private: the table has ids. Raises the errors of `build`.
    """
    header, lines = manifest_of(folder)
    path = state / "tables" / f"{header['digest']}.{versions.CARDS}.parquet"
    if path.is_file() and belongs(path, header["digest"]):
        for line in lines:
            _check_size(folder, line)
        if privacy.is_private(header):
            privacy.narrow(path)  # an earlier version wrote it open to all
        return pq.read_table(path)
    table = build(folder, workers=workers)
    with privacy.hiding(header):
        write(table, path)
    return table


def readable(folder: Path, state: Path, *, workers: int = 1) -> tuple[pa.Table, dict[str, str]]:
    """Return the table of a set without its damaged tars, and what is wrong with each of these.

    The tars are named "train/NAME.tar". A table that lacks samples is not put in the cache. Raises
    the errors of `build`, except DataError for a tar.
    """
    header, lines = manifest_of(folder)
    try:
        return of_set(folder, state, workers=workers), {}
    except DataError:
        tars = [line for line in lines if line["samples"]]
    calls = [functools.partial(_table_or_fault, folder, line) for line in tars]
    found = list(pool.with_progress(calls, workers, "table of samples"))
    tables = [each for each in found if isinstance(each, pa.Table)]
    faults = {
        f"{line['split']}/{line['name']}": each
        for line, each in zip(tars, found, strict=True)
        if isinstance(each, str)
    }
    return marked(pa.concat_tables([SCHEMA.empty_table(), *tables]), header["digest"]), faults


def _table_or_fault(folder: Path, line: Mapping[str, Any]) -> pa.Table | str:
    try:
        return of_tar(folder, line)
    except DataError as error:
        return str(error)


def write(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet; the same table gives the same bytes."""
    buffer = io.BytesIO()
    # in one piece, because pages end where pieces end
    pq.write_table(table.combine_chunks(), buffer, compression="zstd", row_group_size=_ROWS)
    with jsonl.replacing(path) as stream:
        stream.write(buffer.getbuffer())


def belongs(path: Path, digest: str) -> bool:
    """Return whether a stored table is that of the set with this manifest digest."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return dict(found.metadata or {}).items() >= _marks(digest).items()


def _marks(digest: str) -> dict[bytes, bytes]:
    return {b"cxr_vlp.table": str(versions.CARDS).encode(), b"cxr_vlp.digest": digest.encode()}


def manifest_of(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return (header, lines of the tars) of a set; raises the errors of `build`."""
    try:
        header, lines = manifest.read(folder)
    except FileNotFoundError:
        raise ConfigError(f"{folder} is no set: it has no {manifest.NAME}") from None
    except FormatError as error:
        raise DataError(f"{folder}: {error}; run cxr-vlp verify on the set") from None
    if refused := versions.refusal(header.get("format")):
        raise DataError(f"{folder}: {refused}")
    typed = all(manifest.typed(line, manifest.LINE) for line in lines)
    if not typed or not manifest.typed(header, manifest.HEADER):
        raise DataError(f"{folder}: {manifest.NAME} is broken; run cxr-vlp verify on the set")
    return header, lines


def of_tar(folder: Path, line: Mapping[str, Any]) -> pa.Table:
    """Return the table of one tar; `line` is that of the manifest. Raises DataError."""
    path = _path(folder, line)
    _check_size(folder, line)
    try:
        rows = list(_rows(path))
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
    except FormatError as error:
        raise DataError(f"{path}: {error}; run cxr-vlp verify on the set") from None
    except (pa.ArrowException, OverflowError):  # its message would show the value
        raise DataError(
            f"{path}: a field is not of its type; run cxr-vlp verify on the set"
        ) from None
    if any(row["split"] != line["split"] for row in rows):  # its path would name another tar
        raise DataError(f"{path}: holds samples of another split; run cxr-vlp verify on the set")
    if len(rows) != line["samples"]:
        raise DataError(
            f"{path}: {len(rows)} samples where the manifest says {line['samples']}; run cxr-vlp "
            "verify on the set"
        )
    return table


def _path(folder: Path, line: Mapping[str, Any]) -> Path:
    return folder / str(line["split"]) / str(line["name"])


def _check_size(folder: Path, line: Mapping[str, Any]) -> None:
    """Raise DataError for a tar that is absent, or longer or shorter than the manifest says."""
    if not line["samples"]:
        return
    path = _path(folder, line)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path} is not there; run cxr-vlp verify on the set") from None
    if size != line["bytes"]:
        raise DataError(
            f"{path}: not the size that the manifest says; run cxr-vlp verify on the set"
        )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the row of every sample of a tar. Raises FormatError."""
    with path.open("rb") as file:
        places = tar.places(file)
        for key, names in groupby(places, key=lambda name: name.partition(".")[0]):
            members = {name.partition(".")[2]: places[name] for name in names}
            form = next((kind for kind in ("jpg", "png") if kind in members), "")
            if len(members) != MEMBERS or not form or not {"json", "txt"} <= members.keys():
                raise FormatError("sample.members", "a sample is not one image, one json, one txt")
            file.seek(members["json"][0])
            yield (
                {"key": key, "shard": path.name}
                | _at(members, form)
                | _facts(file.read(members["json"][1]))
            )


def _at(members: Mapping[str, tuple[int, int]], form: str) -> dict[str, int]:
    (offset, size), document, text = members[form], members["json"], members["txt"]
    return {
        "offset": offset, "bytes": size,
        "json_offset": document[0], "json_bytes": document[1],
        "txt_offset": text[0], "txt_bytes": text[1],
    }  # fmt: skip


def _facts(document: bytes) -> dict[str, Any]:
    """Return the columns that the JSON member of a sample fills. Raises FormatError."""
    try:
        row = json.loads(document)
        _check(row)
        return _copied(row) | _counted(row)
    except FormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError("json.field", "a JSON member is broken, or a field is missing") from None


def _check(row: Mapping[str, Any]) -> None:
    if refused := versions.refusal(row["format"]):
        raise FormatError("json.format", refused)
    if not row["labels"].keys() <= _LABELS:
        raise FormatError("json.field", "a label has no column")


def _copied(row: Mapping[str, Any]) -> dict[str, Any]:
    same = ("dataset", "split", "patient", "study", "image", "view", "projection", "sex", "age",
            "labels_from", "labels_other")  # fmt: skip
    pixels = ("height", "width", "source_height", "source_width", "notes")
    origin = ("image_sha256", "report_sha256")
    return {
        **{name: row[name] for name in same},
        **{name: row["pixels"][name] for name in pixels},
        **{name: row["provenance"][name] for name in origin},
        **{f"{LABEL}{name}": value for name, value in row["labels"].items()},
        "study_order": row["order"],
    }


def _counted(row: Mapping[str, Any]) -> dict[str, int]:
    statuses = Counter(sentence["status"] for sentence in row["sentences"])
    mentions = [mention for sentence in row["sentences"] for mention in sentence["mentions"]]
    return {
        **{f"sentences_{status}": statuses[status] for status in STATUSES},
        **{name: len(row[name]) for name in ("sentences", "prompts", "statements", "boxes")},
        **{f"{name}_chars": len(row[name]) for name in _LENGTHS},
        "mentions": len(mentions),
        "devices": sum(mention["device"] for mention in mentions),
        "changes": sum(mention["change"] != "" for mention in mentions),
        "phrases": sum(box["phrase"] != "" for box in row["boxes"]),
        "comparisons": len(row["changes"]),
    }
