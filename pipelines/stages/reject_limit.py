"""What may be lost in one stage, and when a set must not take the place of the one before it.

A few unusable files are normal life. A stage that loses a large share of what came in was pointed
at the wrong thing, or the tree is damaged: then nothing is published, and the old set stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines.errors import DataError

ABSENT = ("image.missing", "report.missing")  # under `missing: skip` a partial download
LEAST = 0.5  # of the samples of the set that is replaced; a set that shrinks more wants --shrink
STAYS = "nothing was published, and what was there before this command stays"


def hold(
    step: str, inventory: Mapping[str, Any], came: int, dropped: Mapping[str, int], left: int
) -> None:
    """Hold one step's rejects against `sources.NAME.max_rejects`, as the inventory records it.

    `came` images came into the step, `dropped` is "step code" -> images lost (flow.dropped), `left`
    images go on. Raises DataError above the ceiling, and where nothing is left.
    """
    lost = {key.removeprefix(f"{step} "): n for key, n in dropped.items() if key.startswith(step)}
    said = ", ".join(f"{code} {number:,}" for code, number in sorted(lost.items())) or "none lost"
    if not left:
        raise DataError(
            f"no image left of {came:,} that came into {step} ({said}): are the root and the "
            f"parameters those of this collection? {STAYS}"
        )
    absent = ABSENT if inventory["missing"] == "skip" else ()
    at_hand = came - sum(lost.get(code, 0) for code in absent)
    rejected = sum(number for code, number in lost.items() if code not in absent)
    ceiling, source = inventory["max_rejects"], inventory["source"]
    if rejected > ceiling * at_hand:
        raise DataError(
            f"{step} rejected {rejected:,} of {at_hand:,} images ({rejected / at_hand:.1%}: {said})"
            f", and sources.{source}.max_rejects allows {ceiling:.1%}: mend the files, or raise it "
            f"in the parameters and begin with scan again; {STAYS}"
        )


def reports(notes: Mapping[str, int], sentences: int) -> None:
    """Raise DataError where reports are at hand and not one of them gave a sentence.

    Labels alone would make texts for all of them, and nobody would notice.
    """
    passing = {"report.missing", "report.cut_by_rule"}
    bad = {k: n for k, n in notes.items() if k.startswith("report.") and k not in passing}
    if bad and not sentences:
        said = ", ".join(f"{code} {number:,}" for code, number in sorted(bad.items()))
        raise DataError(
            f"not one report could be read ({said}), and the texts would be made of labels alone: "
            f"is the download whole? {STAYS}"
        )


def shrunk(before: int, now: int, unit: str, *, allowed: bool) -> None:
    """Raise DataError where the new set has less than half of the old one's samples.

    So it is when a disk is not mounted or a folder was moved: what is listed is only missing.
    """
    if now < LEAST * before and not allowed:
        raise DataError(
            f"{now:,} {unit}, and the set that this one would replace has {before:,}: is a disk "
            f"not mounted, or a part of the tree moved? Where it is meant, run this command once "
            f"with --shrink; {STAYS}"
        )


def number(header: Any, name: str) -> int:
    """Return a count of an old header; 0 where it holds none that can be believed."""
    found = header.get(name) if isinstance(header, dict) else None
    return found if type(found) is int else 0
