"""The registry of annotation layers: what others added to the images of a collection.

    sources:
      mimic:
        layers: {mscxr: /data/ms-cxr, mscxrt: /data/ms-cxr-t}

A layer is no collection: it has no images and no reports of its own. Its rows name images of a
collection, and add boxes, phrases and changes to the samples of these. `base.Layer` says what the
class of a layer has; a layer's module is imported only when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from cxr_vlp.nlp.config import settings
from cxr_vlp.pipelines.sources.layers.base import Layer

LAYERS = {
    "mscxr": "mscxr:MsCxr",
    "mscxrt": "mscxr:MsCxrT",
    "chexlocalize": "chexlocalize:CheXlocalize",
}


def known(roots: Mapping[str, str]) -> Mapping[str, str]:
    """Return `roots`, by layer. Raises ValueError for the name of no layer, or without a folder."""
    for name, root in roots.items():
        if name not in LAYERS:
            meant = settings.nearest(name, LAYERS)
            raise ValueError(f"unknown layer {name!r}{meant}; known: {', '.join(LAYERS)}")
        if not root:
            raise ValueError(f"{name} has no folder: give the one that holds its tables")
    return roots


def layer(name: str) -> Layer:
    """Return the layer of a known name."""
    module, _, kind = LAYERS[name].partition(":")
    made: Layer = getattr(import_module(f"{__name__}.{module}"), kind)()
    return made
