"""Indexes of a card for other readers: croissant.json (MLCommons Croissant 1.0) and wids.json.

Croissant has the samples as records (samples.parquet) and the tars as files with their digests. The
members of the tars are no records: mlcroissant unpacks every tar into a cache in the home folder,
under a name that does not tell two sets apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.cards import sample_table, terms
from cxr_vlp.pipelines.cards.subject import Shard, Subject
from cxr_vlp.pipelines.format import versions

CROISSANT, WIDS = "croissant.json", "wids.json"
_RECORDS = "samples"
# the types of the columns; one of another type (labels_other) is a list of structs, which
# mlcroissant does not read from Parquet
_TYPES = {
    pa.string(): "sc:Text",
    pa.int8(): "cr:Int8",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
}
# the context that the specification gives: https://docs.mlcommons.org/croissant/docs/croissant-spec
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def wids(subject: Subject) -> dict[str, Any]:
    """Return the index that `wids.ShardListDataset` reads; its urls are relative to the index."""
    listed = [
        {"url": shard.path, "nsamples": shard.samples, "filesize": shard.bytes}
        for shard in subject.shards
    ]
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": subject.name,
        "shardlist": listed,
    }


def croissant(subject: Subject, table_sha256: str, table_bytes: int) -> dict[str, Any]:
    """Return the Croissant description; `table_sha256` and `table_bytes` are of samples.parquet."""
    known = [terms.of(part.header) for part in subject.parts]
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": re.sub(r"[^A-Za-z0-9_-]", "-", subject.name),
        "description": f"{subject.title}: images, reports and labels as WebDataset shards.",
        "license": sorted({each.licence_link or each.licence or "" for each in known}),
        "citeAs": " ".join(
            dict.fromkeys(each for part in subject.parts for each in terms.citations(part.header))
        ),
        "url": next((each.home for each in known if each.home), ""),
        "version": f"{versions.FORMAT}.{versions.CARDS}.0",
        "datePublished": max((each.published for each in known), default=""),
        "keywords": ["chest x-ray", "radiology", "vision-language"],
        "distribution": [_table_file(table_sha256, table_bytes), *map(_file, subject.shards)],
        "recordSet": [_records()],
    }
    return {name: value for name, value in described.items() if value}


def _table_file(sha256: str, size: int) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": sample_table.NAME,
        "name": sample_table.NAME,
        "description": "A row a sample.",
        "contentUrl": sample_table.NAME,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _file(shard: Shard) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.path,
        "name": shard.name,
        "description": f"{shard.samples} samples of the {shard.split} split.",
        "contentUrl": shard.path,
        "contentSize": f"{shard.bytes} B",
        "encodingFormat": "application/x-tar",
        "sha256": shard.sha256,
    }


def _records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": _RECORDS,
        "name": _RECORDS,
        "description": "The samples: where their members lie, ids, labels, counts. No report text.",
        "key": {"@id": f"{_RECORDS}/key"},
        "field": list(_fields()),
    }


def _fields() -> Iterator[dict[str, Any]]:
    for name, kind, says in sample_table.COLUMNS:
        repeated = pa.types.is_list(kind) and kind.value_type in _TYPES
        if not repeated and kind not in _TYPES:
            continue
        field = {
            "@type": "cr:Field",
            "@id": f"{_RECORDS}/{name.replace(' ', '_')}",  # an id of Croissant has no blank
            "name": name,
            "description": says,
            "dataType": _TYPES[kind.value_type if repeated else kind],
            "source": {
                "fileObject": {"@id": sample_table.NAME},
                "extract": {"column": name},
            },
        }
        yield field | ({"repeated": True} if repeated else {})
