"""Says by which names a protocol may know a set of shards.

`of` in a protocol names published collections. A set has any name (`sources.NAME` with a `preset`),
so the title in its manifest is asked too: "VinDr-CXR" is `vindr`, "ChestX-Det10" is `chestxdet10`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.train.data.shards import Shard

SYNTHETIC = " (synthetic)"  # ends the title of a look-alike
# title of a collection -> its reader or preset, where the title is not its name in other spelling
OF_TITLES = {
    "MIMIC-CXR": "mimic",
    "NIH ChestX-ray14": "nih",
    "Open-i Indiana University chest X-rays": "openi",
    "VinDr-CXR": "vindr",
    "VinDr-PCXR": "vindrpcxr",
    "VinBigData Chest X-ray Abnormalities Detection": "vinbigdata",
    "RSNA Pneumonia Detection Challenge": "rsna",
    "SIIM-ACR Pneumothorax Segmentation": "siim",
}


def names(shards: Sequence[Shard]) -> tuple[str, ...]:
    """Return the names of a set: its own, its source, and those that its title stands for.

    shards: one or more of it. Every task asks here, so that all of them use one protocol.
    """
    name = shards[0].source
    try:
        header = manifest.header(shards[0].path.parent.parent)
    except (FileNotFoundError, FormatError):
        return (name,)
    title = str(header.get("title") or "")
    found = [name, str(header.get("source") or ""), title, *_of_title(title)]
    return tuple(dict.fromkeys(each for each in found if each))


def _of_title(title: str) -> tuple[str, str]:
    plain = title.removesuffix(SYNTHETIC)
    return OF_TITLES.get(plain, ""), re.sub(r"[^a-z0-9]", "", plain.lower())
