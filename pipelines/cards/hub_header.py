"""Writes the YAML header of a card's page, which the Hugging Face hub and `datasets` read.

`configs` says which tars are which split, and `dataset_info` gives every column its type. Without
the types `datasets` guesses them from the first five samples of a split, and fails at the first
sample that has another mention, label or sentence than those.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from cxr_vlp.pipelines.cards import terms
from cxr_vlp.pipelines.cards.facts import Facts, Split
from cxr_vlp.pipelines.cards.subject import Subject

SPLIT_NAMES = {"train": "train", "validate": "validation", "test": "test"}  # those of `datasets`
DEFAULT = "default"
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"))


def front_matter(subject: Subject, facts: Facts) -> str:
    """Return the header with its fences."""
    # the columns of the second and later configurations are YAML aliases of the first
    text = yaml.safe_dump(
        dict(_entries(subject, facts)), sort_keys=False, allow_unicode=True, width=100
    )
    return f"---\n{text}---"


def _entries(subject: Subject, facts: Facts) -> Iterator[tuple[str, Any]]:
    yield "pretty_name", subject.title
    headers = [part.header for part in subject.parts]
    yield from licence(headers, "README.md")
    yield from gate(headers)
    yield "language", ["en"]
    yield "task_categories", ["zero-shot-image-classification", "image-classification"]
    yield "tags", ["chest-x-ray", "radiology", "medical", "webdataset"]
    yield "size_categories", [_size(facts.images)]
    yield "configs", list(_configs(subject))
    yield "dataset_info", list(_infos(subject, facts))


def licence(headers: Sequence[Mapping[str, Any]], page: str) -> Iterator[tuple[str, Any]]:
    """Yield the licence by the hub's rules: an id of its list, or `other` with name and link.

    `headers` are those of the sets, `page` is the file that holds their terms.
    """
    found = [terms.of(header) for header in headers]
    same = all((each.licence, each.licence_name) == _id(found[0]) for each in found)
    yield "license", found[0].licence if same else terms.OTHER
    if not same:
        yield "license_name", "terms-of-each-collection"
        yield "license_link", page
    elif found[0].licence == terms.OTHER:
        yield "license_name", found[0].licence_name
        yield "license_link", found[0].licence_link or page


def _id(found: terms.Terms) -> tuple[str, str]:
    return found.licence, found.licence_name


def gate(headers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the access form of the hub, for sets that not everybody may see."""
    closed = [terms.of(header) for header in headers if terms.closed(header)]
    if closed:
        yield "extra_gated_heading", "Access needs an agreement with the owner of the images"
        yield "extra_gated_prompt", " ".join(dict.fromkeys(each.sharing for each in closed))
        asked = {name: kind for each in closed for name, kind in each.asked.items()}
        yield "extra_gated_fields", asked
        yield "extra_gated_button_content", "Ask for access"


def _size(images: int) -> str:
    return next((name for most, name in _SIZES if images < most), "1M<n<10M")


def _configs(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield the configurations: all tars, and for a joined folder one for each set."""
    yield {"config_name": DEFAULT, "data_files": _data_files(subject, "")}
    if subject.joined:
        for part in subject.parts:
            yield {
                "config_name": config_of(subject, part.name),
                "data_files": _data_files(subject, part.name),
            }


def config_of(subject: Subject, name: str) -> str:
    """Return the configuration of a set: its name, without characters that `datasets` refuses.

    Where two sets would have one name, and for a set called `default`, its number comes first.
    """
    names = [re.sub(r'[<>:/\\|?*"\n\r\t]', "-", part.name) for part in subject.parts]
    place = [part.name for part in subject.parts].index(name)
    taken = Counter([DEFAULT, *names])
    return names[place] if taken[names[place]] == 1 else f"{place:02}-{names[place]}"


def _data_files(subject: Subject, name: str) -> list[dict[str, Any]]:
    found = []
    for split in subject.splits:
        paths = [s.path for s in subject.of_split(split) if name in ("", s.part)]
        if paths:
            path = paths if name else f"{split}/*.tar"
            found.append({"split": SPLIT_NAMES[split], "path": path})
    return found


def _infos(subject: Subject, facts: Facts) -> Iterator[dict[str, Any]]:
    columns = [_named(name, kind) for name, kind in subject.features.items()]
    everything = [split for splits in facts.splits.values() for split in splits]
    yield _info(DEFAULT, columns, everything)
    if subject.joined:
        for part in subject.parts:
            yield _info(config_of(subject, part.name), columns, facts.splits[part.name])


def _info(name: str, columns: Sequence[Any], splits: Sequence[Split]) -> dict[str, Any]:
    images = {split.split: 0 for split in splits}
    size = dict(images)
    for split in splits:
        images[split.split] += split.images
        size[split.split] += split.bytes
    return {
        "config_name": name,
        "features": columns,
        "splits": [
            {"name": SPLIT_NAMES[at], "num_bytes": size[at], "num_examples": images[at]}
            for at in SPLIT_NAMES
            if at in images
        ],
        "download_size": sum(size.values()),
        "dataset_size": sum(size.values()),
    }


def _named(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, **_column(kind)}


def _column(kind: Any) -> dict[str, Any]:
    """Return a feature of schema.features in the form of the hub's header."""
    if isinstance(kind, list):
        inner = _column(kind[0])
        return {"list": inner.get("struct", inner.get("dtype", inner))}
    if isinstance(kind, Mapping) and kind.get("_type") == "Value":
        return {"dtype": kind["dtype"]}
    if isinstance(kind, Mapping) and kind.get("_type") == "Image":
        return {"dtype": "image"}
    return {"struct": [_named(name, inner) for name, inner in kind.items()]}
