"""An image of a study, its texts and its pixels in, the three members of a sample out.

The order of fields and members is the shard format's; a field the source does not have is "" or
absent, never invented.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines import fingerprints, ids
from pipelines.faults import IngestError
from pipelines.params import Shards
from pipelines.pixels import Encoded
from pipelines.records import Image, Study, dumps

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
    study: Study, image: Image, texts: Mapping[str, Any], encoded: Encoded, shards: Shards
) -> dict[str, Any]:
    """Return the JSON member of a sample, as shown in the README."""
    sections = {n: texts["sections"][n] for n in shards.sections if texts["sections"].get(n)}
    sample: dict[str, Any] = {
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
        "sections": sections,
        "labels": texts["labels"],
        "labels_from": texts["labels_from"],
        "sentences": texts["sentences"],
        "prompts": texts["prompts"],
        "statements": texts["statements"],
        "boxes": boxes(image, encoded),
        "pixels": encoded.facts,
        "provenance": {
            "image_sha256": image.sha256,
            "report_sha256": texts["report_sha256"],
            "image_fingerprint": fingerprints.image(image.sha256, shards),
            "text_fingerprint": texts["text_fingerprint"],
        },
    }
    known = {"age": study.age, "order": study.order, "translations": texts.get("translations")}
    return sample | {name: value for name, value in known.items() if value is not None}


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
    text = json.dumps(sample, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return [
        (f"{key}.{form}", picture),
        (f"{key}.json", text.encode()),
        (f"{key}.txt", str(sample["caption"]).encode()),
    ]


def fingerprint(study: Study, image: Image, texts: Mapping[str, Any], shards: Shards) -> str:
    """Return what decides a sample's bytes; known before anything is decoded."""
    facts = dumps(dataclasses.replace(study, images=(image,), report=None, labels={}))
    wording = [[*shards.caption], [*shards.sections]]
    pixels = fingerprints.image(image.sha256, shards)
    return fingerprints.of([pixels, texts["text_fingerprint"], facts, wording])
