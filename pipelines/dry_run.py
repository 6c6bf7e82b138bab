"""What a run of `shards` would do, and why, before hours are spent on it; nothing is written.

Receipts say what every sample of the last tar was made of, so what moved can be told by name:
the source file, the parameters of the picture, or the text.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.cache.entries import Sample
from cxr_vlp.pipelines.cache.images import OldPictures
from cxr_vlp.pipelines.cache.incremental import Reusing
from cxr_vlp.pipelines.stages.shard_part import ShardOfPart, Wanted

KEPT, REWRITTEN, BUILT = "kept", "rewritten", "built"


@dataclass
class Foreseen:
    """The tars by what becomes of them, the samples by what moved, the pictures by their origin."""

    tars: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    copied: int = 0
    decoded: int = 0
    seconds: float = 0.0  # of one worker, at the rate of earlier runs; 0 where none is known


def look(reusing: Reusing, names: Sequence[str]) -> Foreseen:
    """Return what a run over these parts would do."""
    foreseen = Foreseen()
    for name in names:
        _look_at(reusing, name, foreseen)
    foreseen.seconds = foreseen.decoded * _pace(reusing, names)
    return foreseen


def _look_at(reusing: Reusing, part: str, foreseen: Foreseen) -> None:
    work = reusing.work
    assert isinstance(work, ShardOfPart)  # the one stage that decodes
    receipt = reusing.believed(part, work.fingerprint(part))
    if receipt is not None and receipt.lasting:
        if not receipt.sha256 or reusing.stock.find(receipt) is not None:
            foreseen.tars[KEPT] += 1
            return
        foreseen.reasons["the tar is gone or damaged"] += 1
    latest = next(reusing.receipts.latest(part), None)
    before = {sample.key: sample for sample in latest.samples} if latest else {}
    wanted = list(work.wanted(part))
    old = OldPictures(reusing.receipts, reusing.stock, part, reusing.neighbours)
    old.expect({item.picture for item in wanted})
    copied = 0
    for item in wanted:
        copied += old.knows(item.picture)
        foreseen.reasons[_reason(item, before.get(item.digests.key))] += 1
    foreseen.reasons["removed"] += len(set(before) - {item.digests.key for item in wanted})
    foreseen.copied += copied
    foreseen.decoded += len(wanted) - copied
    foreseen.tars[REWRITTEN if copied else BUILT] += 1


def _reason(item: Wanted, before: Sample | None) -> str:
    """Say what moved since the sample was last made."""
    now = item.digests
    if before is None:
        return "new"
    if now.source[:16] != before.source:
        return "source changed"
    if now.image[:16] != before.image:
        return "image parameters changed"
    if now.sample[:16] != before.sample:
        return "text or table changed"
    return "unchanged, in a tar that is rewritten"


def _pace(reusing: Reusing, names: Sequence[str]) -> float:
    """Return the seconds that a picture took, over the last receipts of these parts."""
    seconds, decoded = 0.0, 0
    for name in names:
        latest = next(reusing.receipts.latest(name), None)
        # where most were copied the time says little of decoding
        if latest is not None and latest.decoded > len(latest.samples) / 2:
            seconds, decoded = seconds + latest.seconds, decoded + latest.decoded
    return seconds / decoded if decoded else 0.0


def show(source: str, foreseen: Foreseen) -> None:
    """Print what was foreseen."""
    rows: list[tuple[str, int]] = [
        (f"tars to be {name}", foreseen.tars[name]) for name in (KEPT, REWRITTEN, BUILT)
    ]
    rows += [("pictures to copy", foreseen.copied), ("pictures to decode", foreseen.decoded)]
    rows += [(f"- {why}", n) for why, n in sorted(foreseen.reasons.items()) if n]
    cli.show(f"shards {source}: what a run would do", ("", "number"), rows)
    if foreseen.seconds:
        time = datetime.timedelta(seconds=round(foreseen.seconds))
        cli.say(f"about {time} of one worker, at the pace of the last run")
