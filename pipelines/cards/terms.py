"""The access terms, citation and place of each known collection and layer, as a hub needs them.

They are in terms.yaml. What is not known there (a collection of your own, one of a plugin) has the
licence that its reader states: under the hub's id of it, or under `other` where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import yaml

from cxr_vlp.pipelines.files import privacy

OTHER = "other"  # the hub's id of a licence that is not in its list
_SYNTHETIC = "(synthetic)"  # ends the title of a synthetic tree (scan.py)


@dataclass(frozen=True)
class Terms:
    """What a reader of a card must know of a collection.

    `licence` is an id of the Hugging Face hub's list, `licence_name` and `licence_link` stand for
    the terms where the id is `other`. `published` is a year, "" if the collection is not published.
    `sharing` says what may be shared, in sentences.
    """

    licence: str
    licence_name: str = ""
    licence_link: str = ""
    home: str = ""
    citation: str = ""
    published: str = ""
    sharing: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)  # fields of the hub's access form


_OWNER = {"I have the agreement of the hospital that these images come from": "checkbox"}
_LAYER = {"I have the agreement of those who made the annotations": "checkbox"}
# licences that the hub has an id for, of those that people give to images
_IDS = frozenset(
    {"apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0",
     "cc-by-nd-4.0", "cc-by-sa-4.0", "cc0-1.0", "mit", "odbl", "odc-by", "pddl"}
)  # fmt: skip


def _known(part: str) -> Mapping[str, Terms]:
    text = (resources.files(__package__) / "terms.yaml").read_text(encoding="utf-8")
    return {title: Terms(**values) for title, values in yaml.safe_load(text)[part].items()}


# By title: the name of a collection is the user's, and so may be what it holds. A reader says the
# same in words (`licence`).
KNOWN = _known("collections")
LAYERS = _known("layers")

_MADE_UP = Terms(
    licence="apache-2.0",
    licence_link="https://www.apache.org/licenses/LICENSE-2.0",
    home="https://www.apache.org/licenses/LICENSE-2.0",
    citation="Synthetic images and reports of no patient, made by cxr-vlp in the layout of a "
    "published collection.",
    published="2026",  # of the generator: the trees themselves have no date
    sharing="Nothing here comes from a patient. The set may be shared.",
)


def of(header: Mapping[str, Any]) -> Terms:
    """Return the terms of the set with this manifest header."""
    if _SYNTHETIC in header["title"]:
        return _MADE_UP
    known = KNOWN.get(header["title"]) or _unknown(header)
    for layer in header.get("layers", ()):
        if layer["credentialed"]:
            known = _with_closed(known, layer)
    if header["ids"] == "salted":
        return _of_salted(known)
    return known


def of_layer(layer: Mapping[str, Any]) -> Terms:
    """Return the terms of an annotation layer, from its entry in a manifest header."""
    if _SYNTHETIC in layer["title"]:
        return _MADE_UP
    return LAYERS.get(layer["title"]) or Terms(OTHER)


def citations(header: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a user of a set cites: its collection, and its annotation layers."""
    found = [of(header), *map(of_layer, header.get("layers", ()))]
    return tuple(dict.fromkeys(each.citation for each in found if each.citation))


def _with_closed(known: Terms, layer: Mapping[str, Any]) -> Terms:
    """Return terms of a set with annotations that only users who signed for them may see."""
    asked = {**known.asked, **(of_layer(layer).asked or _LAYER)}
    says = (
        f"Its annotations of {layer['title']} are not open: only users who signed for them may see "
        "the set."
    )
    sharing = known.sharing if known.asked else f"{known.sharing} {says}"
    return replace(known, sharing=sharing, asked=asked)


def _unknown(header: Mapping[str, Any]) -> Terms:
    """Return the terms of a collection that only its reader describes."""
    closed = "Ask the owner of the collection before you share the set or a part of it."
    opened = f"The licence of the collection is: {header['licence']}."
    name = re.sub(r"[^a-z0-9.]+", "-", header["licence"].lower()).strip("-")
    listed = name in _IDS
    return Terms(
        licence=name if listed else OTHER,
        licence_name="" if listed else name or "unknown",
        sharing=closed if header["credentialed"] else opened,
        asked=_OWNER if header["credentialed"] else {},
    )


def _of_salted(known: Terms) -> Terms:
    """Return terms that say what salted ids hide, and what they do not."""
    says = (
        "The ids are hashed with a secret salt. This hides them and does not de-identify: sex, "
        "age, report text and pixels are as they were. Never share the salt, `data/scan` or `.cxr`."
    )
    return replace(known, sharing=f"{known.sharing} {says}", asked=known.asked or _OWNER)


def closed(header: Mapping[str, Any]) -> bool:
    """Return whether a set must not be shown to everybody: private, and of real patients."""
    return privacy.is_private(header) and _SYNTHETIC not in header["title"]
