"""Makes heat maps: how much each place of an image matches a text, in the stored image's frame.

Of a model that compares vectors, the map is the cosine of each patch with the text; several texts
of one label are first averaged to one direction, as for zero-shot scores (or their maps are, by the
protocol). Of a fusion (CARZero) it is the attention of text to patches, the mean over the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.frame import Frame, Origin
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.reading import ReadImage
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.model.fusion import Tokens


@dataclass(frozen=True, slots=True)
class Query:
    """What an image is searched for: T encoded texts, and whether the highest map counts.

    Where it does not, the mean of the T maps is taken.
    """

    texts: Tokens
    highest: bool


def query(model: Model, texts: Sequence[str], several: str = "direction") -> Query:
    """Return the query of some texts for one thing; `several` as in a protocol's prompts.

    direction: the mean of their features (of a fusion, of their maps); mean, max: of their maps.
    """
    encoded = model.encode_texts(tuple(texts))
    if several == "direction" and not model.fused:
        mean = nnf.normalize(encoded.whole.mean(dim=0, keepdim=True), dim=-1)
        encoded = Tokens(mean, encoded.parts[:1], encoded.mask[:1])
    return Query(encoded, several == "max")


def patch_maps(model: Model, images: Tokens, wanted: Query) -> Floats:
    """Return the maps (B, h, w) of B images, encoded with `patches=True`, for one query."""
    maps: Tensor = model.maps(images, wanted.texts)
    found = maps.amax(dim=1) if wanted.highest else maps.mean(dim=1)
    return found.double().cpu().numpy()


def heat(
    model: Model, image: ReadImage, texts: str | Sequence[str], several: str = "direction"
) -> Floats:
    """Return the map of one image and one text, or several texts for one thing.

    (height, width) of the stored image; NaN where the model sees nothing of it, and on the padding
    of the shards. Raises ConfigError for a model without patches.
    """
    check(model)
    wanted = query(model, (texts,) if isinstance(texts, str) else texts, several)
    tokens = model.encode_images(image.pixels[None], patches=True)
    return in_stored_frame(patch_maps(model, tokens, wanted)[0], image)


def in_stored_frame(found: Floats, image: ReadImage) -> Floats:
    """Return a map (h, w) of patches as one over the stored image; NaN as in `heat`."""
    frame = frame_of(image)
    spread = frame.spread(found)
    origin = Origin.of(image.sample.pixels)
    if origin is not None:
        spread[~origin.inside(frame.height, frame.width)] = np.nan
    return spread


def frame_of(image: ReadImage) -> Frame:
    """Return the frame of an image that was read.

    Raises DataError where the sample says another size of its stored image than the file has: its
    boxes would be in a wrong place.
    """
    said = image.sample.pixels.height, image.sample.pixels.width
    frame = image.frame
    if frame is None or (any(said) and said != (frame.height, frame.width)):
        raise DataError(
            f"{image.facts.source}: the image of sample {key_hash(image.facts.key)} has another "
            "size than its JSON says, so its boxes would be in a wrong place: run cxr-vlp verify "
            "on the set; a program that resizes the images of a set must not keep their boxes"
        )
    return frame


def check(*models: Model) -> None:
    """Raise ConfigError for models that give no maps, and for maps that cannot be averaged."""
    without = [model.name for model in models if not getattr(model, "finer", False)]
    if not models or without:
        raise ConfigError(
            f"grounding: {', '.join(without) or 'no model'} has no features of patches, and heat "
            "maps need them: leave out the task grounding, or take a model with an image tower"
        )
    if len({model.fused for model in models}) > 1:
        raise ConfigError(
            "grounding: an ensemble of models with and without a fusion: their maps (attention, "
            "cosines) have no common scale; evaluate them one by one"
        )
