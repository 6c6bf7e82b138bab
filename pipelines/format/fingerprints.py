"""Digests and parameters in, fingerprints out: what decides whether something is made again.

Nothing else may enter a fingerprint: no mtime, path root, host, time, worker count or comment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cxr_vlp.pipelines.config import Shards, Texts
from cxr_vlp.pipelines.format import versions


def of(value: Any) -> str:
    """Return the sha256 of a JSON-able value in its canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def pixel_toolchain() -> dict[str, str]:
    """Return the versions of the libraries that decide an image's bytes."""
    packages = ("pydicom", "imagecodecs", "opencv-python-headless", "pillow", "simplejpeg", "numpy")
    return {name: importlib.metadata.version(name) for name in packages}


def image(source_sha256: str, shards: Shards) -> str:
    """Return the fingerprint of an encoded image."""
    return of([source_sha256, shards.image_parameters(), versions.PIXELS, pixel_toolchain()])


def text(
    report_sha256: str, labels: Mapping[str, int], texts: Texts, wording: str, rule: Any = None
) -> str:
    """Return the fingerprint of a study's texts.

    `wording` is the digest of the lexicon and what the user adds to it; with a model, its name and
    version and those of spaCy are in it. `rule` is the study's own line of the user's section
    exceptions.
    """
    made_by = [texts.text_parameters(), versions.TEXTS, wording]
    return text_of(report_sha256, labels, made_by, rule)


def text_of(
    report_sha256: str, labels: Mapping[str, int], made_by: Iterable[Any], rule: Any = None
) -> str:
    """Return the fingerprint of texts made by [parameters, epoch, wording]."""
    facts = [report_sha256, dict(labels), *made_by]
    return of([*facts, rule] if rule else facts)


def translated(made_by: str, translations: Mapping[str, str]) -> str:
    """Return the fingerprint of texts, some sections of which stand in other words as well."""
    return of([made_by, dict(translations)]) if translations else made_by


def shard(
    counts: Mapping[str, int],
    salt: str,
    limits: Mapping[str, Any],
    samples: Iterable[tuple[str, str]],
) -> str:
    """Return the fingerprint of a tar from the (key, sample fingerprint) pairs listed for it."""
    return of([versions.FORMAT, dict(counts), salt, dict(limits), sorted(map(list, samples))])
