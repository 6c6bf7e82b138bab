"""An image of a study, its texts and its pixels in, the three members of a sample out.

The fields are those of schema.py, all of them in every sample; one that the source does not have is
"", empty or null, never invented.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.format import fingerprints, schema, versions
from cxr_vlp.pipelines.records import Encoded, Image, Study, dumps
from cxr_vlp.pipelines.sources import ids

KEY = re.compile(r"[a-z0-9_-]+")
LONGEST_KEY = 90  # USTAR names end at 100 characters, and ".json" comes behind


def caption(texts: Mapping[str, Any], shards: Shards) -> str:
    """Return the caption: the first of `shards.caption` that has text.

    Raises IngestError text.empty: a sample is rejected rather than given a filler.
    """
    for name in shards.caption:
        if texts[name]:
            return texts[name]
    raise IngestError("text.empty")


def key_of(study: Study, image: Image) -> str:
    """Return the sample's key. Raises IngestError key.bad for one that loaders would cut."""
    key = ids.of_image(study, image)
    if not KEY.fullmatch(key) or len(key) > LONGEST_KEY:
        raise IngestError("key.bad")
    return key


def document(
    study: Study,
    image: Image,
    texts: Mapping[str, Any],
    encoded: Encoded,
    shards: Shards,
    image_fingerprint: str,
) -> dict[str, Any]:
    """Return the JSON member of a sample, as shown in the README."""
    labels, others = split_labels(texts["labels"])
    said = texts.get("translations") or {}
    return {
        "format": versions.FORMAT,
        "caption": caption(texts, shards),
        "findings": texts["findings"],
        "impression": texts["impression"],
        "abnormal": texts["abnormal"],
        "prompt": texts["prompt"],
        "dataset": study.source,
        "patient": study.patient,
        "study": study.key,
        "image": image.key,
        "split": study.split,
        "view": image.view,
        "projection": image.projection,
        "sex": study.sex,
        "age": study.age,
        "order": study.order,
        "sections": {
            name: texts["sections"].get(name, "") if name in shards.sections else ""
            for name in schema.SECTIONS
        },
        "labels": labels,
        "labels_other": others,
        "labels_from": texts["labels_from"],
        "sentences": texts["sentences"],
        "prompts": texts["prompts"],
        "statements": texts["statements"],
        "translations": {name: said.get(name, "") for name in schema.TRANSLATED},
        "boxes": boxes(image, encoded),
        "pixels": {"notes": [], **encoded.facts},
        "provenance": {
            "image_sha256": ids.digest(study, image.sha256),
            "report_sha256": texts["report_sha256"],
            "image_fingerprint": image_fingerprint,
            "text_fingerprint": texts["text_fingerprint"],
        },
    }


def split_labels(labels: Mapping[str, int]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return (the labels that schema.LABELS names, the collection's further ones by name)."""
    known = {name: value for name, value in labels.items() if name in schema.LABELS}
    others = sorted(set(labels) - set(known))
    return known, [{"name": name, "value": labels[name]} for name in others]


def boxes(image: Image, encoded: Encoded) -> list[dict[str, Any]]:
    """Return the boxes in pixels of the stored picture, to a tenth of a pixel."""
    at, facts = encoded.placement, encoded.facts
    width, height = image.frame or (facts["source_width"], facts["source_height"])
    # boxes may be given in another size than the file's (NIH's at 1024 for a 224 px copy)
    fx, fy = facts["source_width"] / width, facts["source_height"] / height
    found = []
    for box in image.boxes:
        x, y, w, h = at.box(box.x * fx, box.y * fy, box.w * fx, box.h * fy)
        sides = {"x": round(x, 1), "y": round(y, 1), "w": round(w, 1), "h": round(h, 1)}
        found.append({"label": box.label, **sides})
    return found


def members(
    key: str, sample: Mapping[str, Any], picture: bytes, form: str
) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of picture, JSON and caption, in that order; none is ever left out."""
    text = json.dumps(
        sample, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return [
        (f"{key}.{form}", picture),
        (f"{key}.json", text.encode()),
        (f"{key}.txt", str(sample["caption"]).encode()),
    ]


def fingerprint(
    study: Study, image: Image, texts: Mapping[str, Any], shards: Shards, image_fingerprint: str
) -> str:
    """Return what decides a sample's bytes; known before anything is decoded.

    What only data/scan may know is not in it: from a digest, too, an id can be found by trying.
    """
    shown = dataclasses.replace(image, path="", sha256="", size=0, origin="")
    facts = dumps(
        dataclasses.replace(
            study, images=(shown,), report=None, labels={}, origin="", origin_patient="", secret=""
        )
    )
    wording = [[*shards.caption], [*shards.sections]]
    return fingerprints.of([image_fingerprint, texts["text_fingerprint"], facts, wording])


def picture_fingerprint(study: Study, image: Image, shards: Shards) -> str:
    """Return the fingerprint under which a sample's picture is found again in earlier tars."""
    return fingerprints.image(ids.digest(study, image.sha256), shards)
