"""Reads the samples of a shard, each with its image still encoded.

A sample is three members with one key that are next to each other: image, json, txt, in any order.
Tars that webdataset's ShardWriter or GNU tar wrote from such samples are read too. Anything else
raises DataError, which names the shard, a place in it or the hash of a key, never a key or a text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cxr_vlp.pipelines.format import tar
from cxr_vlp.pipelines.format.errors import FormatError, StoreError
from cxr_vlp.pipelines.format.sample import Sample, key_hash
from cxr_vlp.train.data.shards import COUNT, Shard, as_shard
from cxr_vlp.train.errors import DataError

IMAGES = ("jpg", "png", "jpeg")  # jpeg: other programs name JPEGs so
KINDS = frozenset((*IMAGES, "json", "txt"))
JSON = frozenset(("json",))
_OTHER_TARS = "docs/reuse.md says which tars fit reads, and how to bring in others"


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample as it is stored: the image still encoded, the JSON member read.

    `key` is dataset-study-image; `image` the bytes of the JPEG or PNG; `caption` the text member;
    `shard` the path or address of the tar.
    `turn` counts how often its shard has been opened in this epoch, so that each time something
    else is drawn for the sample.
    """

    key: str
    image: bytes
    sample: Sample
    caption: str
    shard: str
    turn: int = 0


def stored_samples(shard: Shard, turn: int = 0) -> Iterator[StoredSample]:
    """Yield the samples of a shard, in its order.

    Raises DataError for a sample that is not one image, one json and one txt, and for a shard that
    holds another number of samples than its sizes.json says: one that was written again and cut off
    looks like a shorter one, which only the count shows.
    """
    seen = 0
    for key, parts in _groups(shard):
        yield _stored(key, parts, shard.where, turn)
        seen += 1
    if seen != shard.samples:
        raise DataError(
            f"{shard.where}: {seen} samples where sizes.json promises {shard.samples}: copy the "
            "set again; if another program wrote the tars, remove sizes.json and count them with "
            f"{COUNT}"
        )


def facts(shard: Shard) -> Iterator[Sample]:
    """Yield what the JSON members of a shard say apart from texts; the images are not read."""
    return (sample for _, sample in keyed_facts(shard))


def keyed_facts(shard: Shard, *, boxes: bool = False) -> Iterator[tuple[str, Sample]]:
    """Yield (key, what its JSON member says) of each sample of a shard.

    Texts and boxes are left out, because facts are quick to read; `boxes` keeps both.
    """
    for member in members(shard, JSON):
        try:
            yield tar.split_name(member.name)[0], Sample.from_json(member.data, texts=boxes)
        except FormatError as error:
            raise DataError(
                f"{shard.where}: a sample: {error}; run cxr-vlp verify on the set"
            ) from None


def members(found: Path | Shard, kinds: Collection[str] = ()) -> Iterator[tar.Member]:
    """Yield the members of a tar, those with the endings `kinds` or all.

    Raises DataError for a tar that is cut, damaged or cannot be read; StoreError where an object
    store does not give it.
    """
    shard = as_shard(found)
    try:
        with shard.open() as file:
            if kinds:
                yield from tar.members_of_kind(file, kinds, folders=True)
            else:
                yield from tar.members(file, folders=True)
    except FormatError as error:
        raise DataError(f"{shard.where}: {error}") from None
    except StoreError:
        raise
    except OSError as error:
        raise DataError(f"{shard.where}: cannot be read ({error.strerror})") from error


def studies(flow: Iterable[StoredSample]) -> Iterator[tuple[StoredSample, ...]]:
    """Yield the samples of each study together; in a shard they are neighbours."""
    for _, group in groupby(flow, key=_study):
        yield tuple(group)


def _study(stored: StoredSample) -> tuple[str, int, str]:
    return stored.shard, stored.turn, stored.sample.study or stored.key


def _groups(shard: Shard) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, the members by their ending) of every sample."""
    key, parts = "", dict[str, bytes]()
    for name, content, *_ in members(shard):
        found, kind = tar.split_name(name)
        if not found or kind not in KINDS:
            why = tar.odd_name(name) or "write the tar without it"
            raise DataError(
                f"{shard.where}: sample {key_hash(found)} has a member that is none of "
                f"jpg, json, png, txt: {why}; {_OTHER_TARS}"
            )
        if found != key:
            if parts:
                yield key, parts
            key, parts = found, {}
        if kind in parts:
            raise DataError(f"{shard.where}: sample {key_hash(key)} has a member twice")
        parts[kind] = content
    if parts:
        yield key, parts


def _stored(key: str, parts: Mapping[str, bytes], shard: str, turn: int) -> StoredSample:
    images = [parts[kind] for kind in IMAGES if kind in parts]
    if len(images) != 1 or len(parts) != 3:
        raise DataError(
            f"{shard}: sample {key_hash(key)} lacks a member, or its members are not next to each "
            f"other (tar --sort=name puts them so): a sample is one image, one json and one txt; "
            f"{_OTHER_TARS}"
        )
    try:
        sample = Sample.from_json(parts["json"])
        caption = parts["txt"].decode().strip()
    except FormatError as error:
        raise DataError(f"{shard}: sample {key_hash(key)}: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{shard}: sample {key_hash(key)}: the txt member is not UTF-8") from None
    return StoredSample(key, images[0], sample, caption, shard, turn)
