"""Makes a sample from an image, the texts of its study and its pixels, and the three members."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.format.sample import (
    KEY,
    LABELS,
    LONGEST_KEY,
    SECTIONS,
    TRANSLATED,
    Box,
    Change,
    OtherLabel,
    Pixels,
    Provenance,
    Sample,
    sentence_of,
)
from cxr_vlp.pipelines.records import Encoded, Image, Study, dumps
from cxr_vlp.pipelines.sources import ids


def caption(texts: Mapping[str, Any], shards: Shards) -> str:
    """Return the caption: the first of `shards.caption` that has text.

    Raises IngestError text.empty: a sample without text is rejected, no text is invented.
    """
    for name in shards.caption:
        if texts[name]:
            return str(texts[name])
    raise IngestError("text.empty")


def key_of(study: Study, image: Image) -> str:
    """Return the sample's key. Raises IngestError key.bad for one that loaders would cut."""
    key = ids.of_image(study, image)
    if not KEY.fullmatch(key) or len(key) > LONGEST_KEY:
        raise IngestError("key.bad")
    return key


def sample(
    study: Study,
    image: Image,
    texts: Mapping[str, Any],
    encoded: Encoded,
    shards: Shards,
    image_digest: str,
) -> Sample:
    """Return the sample of an image.

    `texts` is the study's row of stage `texts`, `image_digest` the fingerprint of the image.
    """
    labels, others = split_labels(texts["labels"])
    kept = boxes(image, encoded)
    notes = encoded.facts.get("notes", ())
    if len(kept) < len(image.boxes):
        notes = tuple(sorted({*notes, "box.bad_value"}))
    translations = texts.get("translations") or {}
    chosen = {name: texts["sections"].get(name, "") for name in shards.sections}
    return Sample(
        caption=caption(texts, shards),
        findings=texts["findings"],
        impression=texts["impression"],
        abnormal=texts["abnormal"],
        prior_free=texts["prior_free"],
        prompt=texts["prompt"],
        dataset=study.source,
        patient=study.patient,
        study=study.key,
        image=image.key,
        split=study.split,
        view=image.view,
        projection=image.projection,
        sex=study.sex,
        age=study.age,
        order=study.order,
        sections={name: chosen.get(name, "") for name in SECTIONS},
        labels=labels,
        labels_other=others,
        labels_from=texts["labels_from"],
        sentences=tuple(map(sentence_of, texts["sentences"])),
        prompts=tuple(texts["prompts"]),
        statements=tuple(texts["statements"]),
        translations={name: translations.get(name, "") for name in TRANSLATED},
        boxes=kept,
        changes=changes(image),
        pixels=Pixels(**{**encoded.facts, "notes": notes}),
        provenance=Provenance(
            image_sha256=ids.digest(study, image.sha256),
            report_sha256=texts["report_sha256"],
            image_fingerprint=image_digest,
            text_fingerprint=texts["text_fingerprint"],
        ),
    )


def split_labels(labels: Mapping[str, int]) -> tuple[dict[str, int], tuple[OtherLabel, ...]]:
    """Return (the labels that the format names, the collection's further ones by name)."""
    known = {name: value for name, value in labels.items() if name in LABELS}
    others = sorted(set(labels) - set(known))
    return known, tuple(OtherLabel(name, labels[name]) for name in others)


def boxes(image: Image, encoded: Encoded) -> tuple[Box, ...]:
    """Return the boxes in pixels of the stored image, to a tenth of a pixel.

    A box that leaves its image is not returned: a table may give boxes of another image, or in
    another unit, which only the file's size shows.
    """
    at, facts = encoded.placement, encoded.facts
    file = facts["source_width"], facts["source_height"]
    found = []
    for box in image.boxes:
        # boxes may be given for another size than the file's (NIH's for 1024 px, beside a 224 px
        # copy), and those of a layer for another size than the collection's own
        width, height = box.frame or image.frame or file
        fx, fy = file[0] / width, file[1] / height
        given = box.x * fx, box.y * fy, box.w * fx, box.h * fy
        if not _inside(given, file):
            continue
        x, y, *sides = at.box(*given)
        w, h = (max(round(side, 1), 0.1) for side in sides)  # one of a few pixels still has an area
        found.append(Box(box.label, round(x, 1), round(y, 1), w, h, box.phrase, box.layer))
    return tuple(found)


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    """Return whether a box is inside an image, to a hundredth of its side or to one pixel."""
    starts, sides = box[:2], box[2:]
    return all(
        start >= -edge and start + side <= whole + edge
        for start, side, whole in zip(starts, sides, size, strict=True)
        for edge in [max(1.0, whole / 100)]
    )


def changes(image: Image) -> tuple[Change, ...]:
    """Return the changes since an earlier image."""
    return tuple(
        Change(each.label, each.change, each.earlier, each.layer) for each in image.changes
    )


def members(key: str, made: Sample, image: bytes, form: str) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of image, JSON and caption, in this order; there are always three."""
    return [
        (f"{key}.{form}", image),
        (f"{key}.json", made.to_json()),
        (f"{key}.txt", made.caption.encode()),
    ]


def fingerprint(
    study: Study, image: Image, texts: Mapping[str, Any], shards: Shards, image_digest: str
) -> str:
    """Return the digest of what decides a sample's bytes; it is known before an image is decoded.

    `image_digest` is the fingerprint of the image. Ids that only data/scan may hold are not in
    the digest: somebody who tries many ids could find an id from a digest.
    """
    shown = dataclasses.replace(image, path="", sha256="", size=0, origin="")
    facts = dumps(
        dataclasses.replace(
            study, images=(shown,), report=None, labels={}, origin="", origin_patient="", secret=""
        )
    )
    wording = [[*shards.caption], [*shards.sections]]
    return fingerprints.of([image_digest, texts["text_fingerprint"], facts, wording])


def image_fingerprint(study: Study, image: Image, shards: Shards) -> str:
    """Return the fingerprint under which a sample's image is found again in earlier tars."""
    source, parameters = ids.digest(study, image.sha256), shards.image_parameters()
    return fingerprints.image(source, fingerprints.with_polarity(parameters, image.polarity))
