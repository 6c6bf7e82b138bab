"""Collects the images that the pages of labels show, with heat maps where a model is given.

The images are those that the report browser stored. The heat map of an evaluation's model for a
label is a file of its own, which lies over the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.site import heat_maps, picks
from cxr_vlp.train.pages.site.page import Site, Stored
from cxr_vlp.train.pages.site.picks import Pick

Lists = Mapping[str, tuple[Pick, ...]]


@dataclass(frozen=True, slots=True)
class Shown:
    """One image of a page: the pick, its file and caption, and its heat map's file ("": none)."""

    pick: Pick
    stored: Stored
    heat: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The images of one label and one evaluation: (name of the list, images)."""

    evaluation: str
    lists: tuple[tuple[str, tuple[Shown, ...]], ...]
    with_heat: bool


@dataclass(frozen=True, slots=True)
class Images:
    """All galleries, by label."""

    galleries: Mapping[str, tuple[Gallery, ...]] = field(default_factory=dict)

    def of(self, label: str) -> tuple[Gallery, ...]:
        """Return the galleries of a label, one for each evaluation that scores it."""
        return self.galleries.get(label, ())


def make(site: Site, labels: Sequence[str], stored: Mapping[str, Stored]) -> Images:
    """Return the images of the labels; their heat maps are written to the site's folder.

    Raises DataError where a scored image is not in the shards: these are other shards than those
    that were evaluated.
    """
    chosen = {
        each.name: {label: found for label in labels if (found := picks.of(each, label))}
        for each in site.evaluations
    }
    _check(chosen, stored)
    heats = {each.name: heat_maps.write(site, each, chosen[each.name]) for each in site.evaluations}
    return Images(
        {
            label: tuple(
                _gallery(name, lists[label], stored, heats[name], label)
                for name, lists in chosen.items()
                if label in lists
            )
            for label in labels
        }
    )


def _check(chosen: Mapping[str, Mapping[str, Lists]], stored: Mapping[str, Stored]) -> None:
    """Raise DataError where an image was not stored."""
    wanted = {
        pick.key
        for by_label in chosen.values()
        for lists in by_label.values()
        for listed in lists.values()
        for pick in listed
    }
    absent = len(wanted - set(stored))
    if absent:
        raise DataError(
            f"{absent} of {len(wanted)} scored images are not in the shards: give the report the "
            "shards that were evaluated, or evaluate these"
        )


def _gallery(
    evaluation: str,
    lists: Lists,
    stored: Mapping[str, Stored],
    heats: Mapping[tuple[str, str], str],
    label: str,
) -> Gallery:
    """Return the gallery of one label and evaluation; empty lists are left out."""
    shown = tuple(
        (words, tuple(Shown(p, stored[p.key], heats.get((label, p.key), "")) for p in lists[name]))
        for name, words in picks.LISTS
        if lists[name]
    )
    with_heat = any(each.heat for _, images in shown for each in images)
    return Gallery(evaluation, shown, with_heat)
