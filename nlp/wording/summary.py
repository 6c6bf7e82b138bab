"""Sums up a mention in one line for people: on the page and in `cxr-vlp annotate --pretty`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summary(mention: Mapping[str, Any]) -> str:
    """Return what is said of a mention, from its JSON object; an absent key says nothing.

    >>> summary({"finding": "pleural effusion", "assertion": "present", "certainty": "definite",
    ...          "side": "left", "severity": "small", "change": "worse"})
    'pleural effusion: present; small; left; worse'
    """
    certainty = mention.get("certainty", "definite")
    is_graded = certainty not in ("definite", "absent")
    where = ", ".join(mention.get("places", ())) or _where(mention)
    sizes = " x ".join(f"{size:g}" for size in mention.get("sizes_mm", ()))
    pointed = ", ".join(mention.get("suggests", ()))
    tip = mention.get("tip", "")
    parts = (
        f"{mention['assertion']} ({certainty})" if is_graded else mention["assertion"],
        "not named" if mention.get("implied") else "",
        mention.get("severity", ""),
        where,
        f"{sizes} mm" if sizes else "",
        mention.get("position", ""),
        f"tip: {tip}" if tip else "",
        mention.get("change", ""),
        f"suggests {pointed}" if pointed else "",
    )
    return f"{mention['finding']}: {'; '.join(part for part in parts if part)}"


def _where(mention: Mapping[str, Any]) -> str:
    return " ".join(w for w in (mention.get("side", ""), mention.get("anatomy", "")) if w)
