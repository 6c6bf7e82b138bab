"""Computes the fingerprints that decide whether an image, a text or a tar is made again.

A fingerprint is made of source digests, parameters and versions. Nothing else may enter it: no
mtime, path root, host, time, worker count or comment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cxr_vlp.pipelines.format import versions

# the packages that decide the bytes of an image
DECODERS = ("pydicom", "imagecodecs", "opencv-python-headless", "pillow", "simplejpeg", "numpy")


def of(value: Any) -> str:
    """Return the sha256 of a JSON-able value in its canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def pixel_toolchain() -> dict[str, str]:
    """Return the versions of the libraries that decide an image's bytes."""
    return {name: importlib.metadata.version(name) for name in DECODERS}


def image(source_sha256: str, parameters: Mapping[str, Any]) -> str:
    """Return the fingerprint of an encoded image; `parameters` are those that decide pixels."""
    return image_of(source_sha256, [dict(parameters), versions.PIXELS, pixel_toolchain()])


def with_polarity(parameters: Mapping[str, Any], polarity: str) -> dict[str, Any]:
    """Return the parameters of an image whose polarity is stated beside its file.

    Without a stated polarity they are the same as ever, and so is the fingerprint.
    """
    return {**parameters, **({"polarity": polarity} if polarity else {})}


def image_of(source_sha256: str, made_by: Iterable[Any]) -> str:
    """Return the fingerprint of an image made by [parameters, version, toolchain]."""
    return of([source_sha256, *made_by])


def text(
    report_sha256: str,
    labels: Mapping[str, int],
    parameters: Mapping[str, Any],
    wording: str,
    rule: Any = None,
) -> str:
    """Return the fingerprint of a study's texts.

    `parameters` are those that change a text, `wording` is the digest of the lexicon and of the
    user's additions to it; with a model, its name and version and those of spaCy are in it. `rule`
    is the user's own exception for the sections of this study.
    """
    made_by = [dict(parameters), versions.TEXTS, wording]
    return text_of(report_sha256, labels, made_by, rule)


def text_of(
    report_sha256: str, labels: Mapping[str, int], made_by: Iterable[Any], rule: Any = None
) -> str:
    """Return the fingerprint of texts made by [parameters, version, wording]."""
    facts = [report_sha256, dict(labels), *made_by]
    return of([*facts, rule] if rule else facts)


def translated(made_by: str, translations: Mapping[str, str]) -> str:
    """Return the fingerprint of texts that have translations of some sections."""
    return of([made_by, dict(translations)]) if translations else made_by


def shard(
    counts: Mapping[str, int],
    salt: str,
    limits: Mapping[str, Any],
    samples: Iterable[tuple[str, str]],
) -> str:
    """Return the fingerprint of a tar from the (key, sample fingerprint) pairs listed for it."""
    return of([versions.FORMAT, dict(counts), salt, dict(limits), sorted(map(list, samples))])
