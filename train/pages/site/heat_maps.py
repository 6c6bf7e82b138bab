"""Writes heat maps of the images that the pages of labels show: where the model sees the finding.

A model belongs to an evaluation if its weights have the digest that the evaluation recorded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxr_vlp.train import cli
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.evaluation import heat, overlays
from cxr_vlp.train.evaluation.models import ours
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.reading import ReadImage, batches
from cxr_vlp.train.pages.site.evaluations import Evaluated
from cxr_vlp.train.pages.site.page import Site
from cxr_vlp.train.pages.site.picks import Pick

Lists = Mapping[str, tuple[Pick, ...]]
Files = dict[tuple[str, str], str]  # (label, key) -> the file of the map
Name = Callable[..., str]


def write(
    site: Site,
    evaluated: Evaluated,
    chosen: Mapping[tuple[str, str], Lists],
    grey: Mapping[str, Any],
    name_of: Name,
    write_jpeg: Callable[[Path, Any], None],
) -> Files:
    """Write the maps of one evaluation's images and labels; none where its model is not given."""
    folder = _folder(site, evaluated)
    if folder is None:
        return {}
    model = ours.model(folder)
    if not model.finer:
        cli.note(f"{evaluated.name}: no heat maps: its image tower has no features of patches")
        return {}
    labels = defaultdict(list)
    for (name, label), lists in chosen.items():
        if name == evaluated.name:
            for key in {pick.key for images in lists.values() for pick in images}:
                labels[key].append(label)
    query = cache(lambda label, source: _query(model, evaluated, label, source))
    files: Files = {}
    for image in _read(site, model, str(evaluated.decided_by["split"]), labels):
        key = image.facts.key
        tokens = model.encode_images(image.pixels[None], patches=True)
        for label in labels[key]:
            wanted = query(label, image.facts.source)
            if wanted is None:
                continue
            found = heat.patch_maps(model, tokens, wanted)[0]
            drawn = overlays.overlay(grey[key], heat.in_stored_frame(found, image))
            files[label, key] = name_of(key, label, evaluated.name)
            write_jpeg(site.out / files[label, key], _pixels(drawn))
    return files


def _folder(site: Site, evaluated: Evaluated) -> Path | None:
    """Return the folder of an evaluation's only model, None where it is not given."""
    digests = [each.get("digest") for each in evaluated.decided_by["models"]]
    if len(digests) != 1:  # the maps of an ensemble are not one map
        return None
    return next((each.folder for each in site.models if each.digest == digests[0]), None)


def _query(model: EncoderModel, evaluated: Evaluated, label: str, source: str) -> heat.Query | None:
    """Return the query of a label: its positive prompts, as the evaluation used them."""
    texts = evaluated.positive_texts(label, source)
    several = evaluated.decided_by["protocol"].get("prompts", {}).get("several", "direction")
    return heat.query(model, texts, several) if texts else None


def _read(
    site: Site, model: EncoderModel, split: str, wanted: Mapping[str, Sequence[str]]
) -> Iterator[ReadImage]:
    """Yield the wanted images as the model gets them."""
    shards = list_shards([each.folder for each in site.sets], split)
    for batch in batches(shards, model.image, model.size):
        yield from (image for image in batch.images if image.facts.key in wanted)


def _pixels(png: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
