"""Writes heat maps of the images that the pages of labels show: where the model sees the finding.

A model belongs to an evaluation if its weights have the digest that the evaluation recorded. The
map of an image, a label and an evaluation is heat/HASH.png, by the names of the three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train import cli
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.evaluation.grounding import heat, overlays
from cxr_vlp.train.evaluation.models import ours
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.reading import ImageBatch, batches
from cxr_vlp.train.model.fusion import Tokens
from cxr_vlp.train.pages.site.evaluations import Evaluated
from cxr_vlp.train.pages.site.page import Site
from cxr_vlp.train.pages.site.picks import Pick

FOLDER = "heat"
Lists = Mapping[str, tuple[Pick, ...]]
Query = Callable[[str, str], heat.Query | None]  # of a label in a collection
Files = dict[tuple[str, str], str]  # (label, key) -> the file of the map


def write(site: Site, evaluated: Evaluated, chosen: Mapping[str, Lists]) -> Files:
    """Write the maps of one evaluation's images, by label; none where its model is not given."""
    folder = _folder(site, evaluated)
    if folder is None:
        return {}
    model = ours.model(folder)
    if not model.finer:
        cli.note(f"{evaluated.name}: no heat maps: its image tower has no features of patches")
        return {}
    (site.out / FOLDER).mkdir(exist_ok=True)
    query = cache(lambda label, source: _query(model, evaluated, label, source))
    labels = _labels(chosen)
    shards = list_shards([each.folder for each in site.sets], str(evaluated.decided_by["split"]))
    files: Files = {}
    for batch in batches(shards, model.image, model.size, keys=frozenset(labels)):
        for label, key, png in _drawn(model, batch, labels, query):
            files[label, key] = file = f"{FOLDER}/{key_hash(f'{evaluated.name}/{label}/{key}')}.png"
            (site.out / file).write_bytes(png)
    return files


def _labels(chosen: Mapping[str, Lists]) -> dict[str, list[str]]:
    """Return key -> the labels whose pages show the image."""
    found = defaultdict(list)
    for label, lists in chosen.items():
        for key in {pick.key for images in lists.values() for pick in images}:
            found[key].append(label)
    return found


def _drawn(
    model: EncoderModel, batch: ImageBatch, labels: Mapping[str, list[str]], query: Query
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (label, key, PNG) of all maps of a batch."""
    tokens = model.encode_images(batch.pixels, patches=True)
    keys = [image.facts.key for image in batch.images]
    for label in sorted({label for key in keys for label in labels[key]}):
        wanted = query(label, batch.source)
        if wanted is None:
            continue
        mine = [i for i, key in enumerate(keys) if label in labels[key]]
        maps = heat.patch_maps(model, Tokens(*(part[mine] for part in tokens)), wanted)
        for i, found in zip(mine, maps, strict=True):
            yield label, keys[i], overlays.overlay(heat.in_stored_frame(found, batch.images[i]))


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
