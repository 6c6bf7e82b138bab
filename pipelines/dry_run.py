"""Predicts what a run of `shards` would build, and why; nothing is written.

Cache entries have the digests of every sample of the last tar, so the reason of a change is known:
the source file, the image parameters, or the text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.cache.entries import Entry, SampleDigests
from cxr_vlp.pipelines.cache.incremental import BUILT, KEPT, REWRITTEN, Incremental
from cxr_vlp.pipelines.stages.shard_part import SampleInput, ShardPart


@dataclass
class Prediction:
    """The tars by outcome, the samples by what changed, the images by origin."""

    tars: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    copied: int = 0  # images
    decoded: int = 0  # images
    seconds: float = 0.0  # of one worker, at the rate of earlier runs; 0 if unknown


def predict(
    incremental: Incremental[ShardPart], digests: Mapping[str, Mapping[str, str]]
) -> Prediction:
    """Return what a run over these parts would do.

    `digests`: part -> stage -> sha256 of the part's input file.
    """
    prediction = Prediction()
    with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as scratch:
        index = incremental.index.copied(Path(scratch))
        incremental = dataclasses.replace(incremental, index=index)
        index.refresh(incremental.entries, incremental.source)
        for name, read in digests.items():
            if not _is_kept(incremental, incremental.usable(name, read), prediction):
                _add_part(incremental, name, prediction)
    prediction.seconds = prediction.decoded * _seconds_per_image(incremental, list(digests))
    return prediction


def _is_kept(
    incremental: Incremental[ShardPart], entry: Entry | None, prediction: Prediction
) -> bool:
    """Count a tar that can be kept; return whether it can."""
    if entry is None:
        return False
    if entry.sha256 and incremental.store.find(entry) is None:
        return False
    prediction.tars[KEPT] += 1
    return True


def _add_part(incremental: Incremental[ShardPart], name: str, prediction: Prediction) -> None:
    """Count a part that is read, as a worker would."""
    part = incremental.builder.load(name)
    same = incremental.checked(incremental.entries.of(name, part.fingerprint))
    if _is_kept(incremental, same, prediction):
        return
    prediction.reasons["the tar is gone or damaged"] += same is not None
    newest = incremental.entries.newest(name)
    samples = incremental.entries.samples(newest) if newest else ()
    before = {sample.key: sample for sample in samples}
    copied = 0
    with contextlib.closing(incremental.cached(incremental.element(name))) as images:
        for sample in part.samples:
            copied += images.has(sample.digests.image, sample.digests.key)
            prediction.reasons[_reason(sample, before.get(sample.digests.key))] += 1
    removed = set(before) - {sample.digests.key for sample in part.samples}
    prediction.reasons["removed"] += len(removed)
    prediction.copied += copied
    prediction.decoded += len(part.samples) - copied
    prediction.tars[REWRITTEN if copied else BUILT] += 1


def _reason(sample: SampleInput, before: SampleDigests | None) -> str:
    """Return what changed since the sample was last made."""
    now = sample.digests
    if before is None:
        return "new"
    if now.source[:16] != before.source:
        return "source changed"
    if now.image[:16] != before.image:
        return "image parameters changed"
    if now.sample[:16] != before.sample:
        return "text or table changed"
    return "unchanged, in a tar that is rewritten"


def _seconds_per_image(incremental: Incremental[ShardPart], names: Sequence[str]) -> float:
    """Return the seconds per decoded image, from the newest entries of these parts; 0: unknown."""
    seconds, decoded = 0.0, 0
    for name in names:
        newest = incremental.entries.newest(name)
        # if most images were copied, the time says little about decoding
        if newest is not None and newest.decoded > newest.listed / 2:
            seconds, decoded = seconds + newest.seconds, decoded + newest.decoded
    return seconds / decoded if decoded else 0.0


def show(source: str, prediction: Prediction) -> None:
    """Print a prediction."""
    rows: list[tuple[str, int]] = [
        (f"tars to be {name}", prediction.tars[name]) for name in (KEPT, REWRITTEN, BUILT)
    ]
    rows += [("images to copy", prediction.copied), ("images to decode", prediction.decoded)]
    rows += [(f"- {why}", n) for why, n in sorted(prediction.reasons.items()) if n]
    cli.show(f"shards {source}: what a run would do", ("", "number"), rows)
    if prediction.seconds:
        time = datetime.timedelta(seconds=round(prediction.seconds))
        cli.say(f"about {time} of one worker, at the speed of the last run")
