"""Writes the files and tables of each collection as its publisher does.

`WRITERS` has the function of each collection. All of them have the same parameters:
(out, *, studies, seed, height, workers, content, faults, advance) -> what was written.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# collection -> module:function; a module is imported when its collection is written
WRITERS = {
    "mimic": "mimic:write",
    "chexpert": "chexpert:write",
    "nih": "nih:write",
    # the demo evaluates frontal images, and Open-i's own files do not say which are
    "openi": "openi:write_with_views",
    "vindr": "vindr:write",
    "vinbigdata": "vindr:write_vinbigdata",
    "vindrpcxr": "vindr:write_pcxr",
    "rsna": "kaggle_nih:write_rsna",
    "siim": "kaggle_nih:write_siim",
    "padchest": "padchest:write",
    "bimcv": "bimcv:write",
    "candid": "candid:write",
    "chexpertplus": "chexpert_plus:write",
    "brax": "brax:write",
    "rexgradient": "rexgradient:write",
    "shenzhen": "nlm:write_shenzhen",
    "montgomery": "nlm:write_montgomery",
}
# annotation layer -> (module:function, the collection that it annotates, which is written first)
LAYERS = {
    "mscxr": ("layers:write_mscxr", "mimic"),
    "mscxrt": ("layers:write_mscxrt", "mimic"),
    "chexlocalize": ("layers:write_chexlocalize", "chexpert"),
}


def writer(collection: str) -> Callable[..., Any]:
    """Return the function that writes the tree of a collection, or the files of a layer."""
    made = WRITERS.get(collection) or LAYERS[collection][0]
    module, _, function = made.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
