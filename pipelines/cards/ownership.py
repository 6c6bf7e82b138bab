"""Decides where a card may be written, and what of an earlier card it may replace."""

from __future__ import annotations

import re
from pathlib import Path

from cxr_vlp.pipelines.cards import facts, indexes, sample_table
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.sample import SPLITS

MARK = "card.json"  # marks a folder as a card
PAGE, FIGURES = "README.md", "figures"
_FILES = (MARK, PAGE, sample_table.NAME, indexes.CROISSANT, indexes.WIDS, manifest.FEATURES)
_OF_SPLITS = rf"(?:{'|'.join(SPLITS)})/(?:{re.escape(manifest.SIZES)}|[^/]+\.tar)"
_OF_FIGURES = rf"{FIGURES}/(?:plot-[a-z]+\.png|contact-sheet\.jpg)"
_OURS = re.compile("|".join([*map(re.escape, _FILES), _OF_SPLITS, _OF_FIGURES]))


def check(out: Path, subject: Subject) -> None:
    """Refuse an output that would damage a set, or files of somebody else. Raises ConfigError."""
    place = out.resolve()
    for part in subject.parts:
        folder = part.folder.resolve()
        if folder in (place, *place.parents):
            raise ConfigError(f"{out} is in the set itself: choose another --out for its card")
    if (place / manifest.NAME).exists():  # a selection holds its card, and would be replaced by it
        raise ConfigError(f"{out} is a set: choose another --out for the card")
    nearest = next(path for path in (place, *place.parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"{nearest} is a file: choose another --out")
    if (place / MARK).exists():
        _check_card(out)


def _check_card(out: Path) -> None:
    """Raise ConfigError if a folder with a card.json is no card, or holds further files."""
    held = jsonl.glimpse(out / MARK)
    if not isinstance(held, dict) or held.get("made_by") != facts.MADE_BY:
        raise ConfigError(f"{out / MARK} is not of a card of cxr-vlp: choose another --out")
    found = (path for path in out.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(out).as_posix() for path in found)
    if more := sum(1 for name in names if not _OURS.fullmatch(name)):
        raise ConfigError(
            f"{out} holds {more:,} files that the card did not write, and would be replaced: move "
            "them, or choose another --out"
        )
