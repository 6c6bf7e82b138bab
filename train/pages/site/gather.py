"""Collects what the site shows: the sets, the evaluations and the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.train.config.params import ReportParams
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.pages.site.page import ShownSet


def sets(folders: Sequence[Path], section: ReportParams) -> tuple[ShownSet, ...]:
    """Return the sets in the order given. Raises ConfigError for a set without a manifest."""
    return tuple(_set(folder, section) for folder in folders)


def _set(folder: Path, section: ReportParams) -> ShownSet:
    try:
        header, tars = manifest.read(folder)
    except FileNotFoundError:
        raise ConfigError(
            f"{folder / manifest.NAME}: no such file; the site shows what it says of the set: "
            "copy the set again, with its manifest"
        ) from None
    except FormatError as error:
        raise ConfigError(f"{folder / manifest.NAME}: {error}; copy the set again") from None
    written = [tar for tar in tars if tar["samples"]]
    sums = {"shards": len(written), "bytes": sum(tar["bytes"] for tar in written)}
    name = folder.resolve().name
    return ShownSet(name, folder, header | sums, shows_text(header, section))


def shows_text(header: Mapping[str, Any], section: ReportParams) -> bool:
    """Return whether the site shows the texts of a set."""
    if section.show_text == "auto":
        return not (header["credentialed"] or header.get("ids") == "salted")
    return section.show_text
