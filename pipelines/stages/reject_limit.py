"""Stops a stage that rejects too much, or whose new set is much smaller than the old set.

A few unusable files are normal. A stage that rejects a large share of its input has a wrong root or
wrong parameters, or the tree is damaged: then nothing is published, and the old set stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines import codes
from cxr_vlp.pipelines.errors import DataError

ABSENT = ("image.missing", "report.missing")  # under `missing: skip` a partial download
LEAST = 0.5  # of the samples of the replaced set; a smaller set needs --shrink
STAYS = "nothing was published, and the previous output stays"


def check(
    step: str, inventory: Mapping[str, Any], entered: int, dropped: Mapping[str, int], left: int
) -> None:
    """Compare one step's rejects with `sources.NAME.max_rejects`, as the inventory records it.

    `entered` images entered the step, `dropped` is "step code" -> images lost (accounting.dropped),
    `left` images remain. Raises DataError above the limit, and if no image is left.
    """
    lost = {key.removeprefix(f"{step} "): n for key, n in dropped.items() if key.startswith(step)}
    listed = ", ".join(f"{code} {number:,}" for code, number in sorted(lost.items())) or "none lost"
    if not left:
        most = max(lost, key=lambda code: lost[code], default="")
        asked = "are the root and the parameters those of this collection?"
        said = "; ".join(filter(None, (codes.advice(most, ""), STAYS)))
        raise DataError(
            f"no image left of {entered:,} that entered {step} ({listed}): {asked} {said}"
        )
    absent = set(ABSENT if inventory["missing"] == "skip" else ())
    # what the user's lists leave out is no fault of the tree
    absent |= {code for code in lost if code.startswith("leave_out.")}
    available = entered - sum(lost.get(code, 0) for code in absent)
    rejected = sum(number for code, number in lost.items() if code not in absent)
    limit, source = inventory["max_rejects"], inventory["source"]
    if rejected > limit * available:
        raise DataError(
            f"{step} rejected {rejected:,} of {available:,} images ({rejected / available:.1%}: "
            f"{listed}), and sources.{source}.max_rejects allows {limit:.1%}: repair the files, or "
            f"raise it in the parameters and run again from scan on; {STAYS}"
        )


def reports(notes: Mapping[str, int], sentences: int) -> None:
    """Raise DataError if there are reports, none gave a sentence, and most could not be read.

    Otherwise all texts would be made of labels alone, and nobody would notice. Reports in another
    language were read: in a collection of such reports the labels are meant to carry the captions.
    """
    passing = {"report.missing", "report.cut_by_rule", "report.language"}
    bad = {k: n for k, n in notes.items() if k.startswith("report.") and k not in passing}
    if sum(bad.values()) > notes.get("report.language", 0) and not sentences:
        listed = ", ".join(f"{code} {number:,}" for code, number in sorted(bad.items()))
        raise DataError(
            f"no report could be read ({listed}), so the texts would be made of labels alone: is "
            f"the download complete? {STAYS}"
        )


def shrunk(before: int, now: int, unit: str, *, allowed: bool) -> None:
    """Raise DataError if the new set has less than half of the samples of the old set.

    That happens if a disk is not mounted or a folder was moved: listed files are then missing.
    """
    if now < LEAST * before and not allowed:
        raise DataError(
            f"{now:,} {unit}, and the set that this one would replace has {before:,}: is a disk "
            f"not mounted, or was a part of the tree moved? If this is intended, run the command "
            f"once with --shrink; {STAYS}"
        )


def number(header: Any, name: str) -> int:
    """Return a count of an old header; 0 if it has no valid count of this name."""
    found = header.get(name) if isinstance(header, dict) else None
    return found if type(found) is int else 0
