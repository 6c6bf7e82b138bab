"""The contract of an annotation layer (`Layer`), and the steps that all layers share.

A layer has a few thousand rows about images of one collection, so all of them are in memory and go
to every worker. What its rows say of an image is found by the image's path, and by its ids where
the path has none: so it does not matter which reader read the collection, and whether its ids are
salted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.records import Image, SourceBox, SourceChange, Study
from cxr_vlp.pipelines.sources import ids

SHOWN = 5  # how many unusable rows of a table are named in the notes
Size = tuple[int, int]  # width and height, in pixels


class Fact(NamedTuple):
    """What one row of a layer says of one image, or a code that says why it cannot be used."""

    place: str  # of the row, for a note: file and line
    image: str = ""  # the image's id in the layer
    box: SourceBox | None = None
    change: SourceChange | None = None
    code: str = ""


class Layer(Protocol):
    """One layer's reader; it has no options."""

    name: str  # short, lower-case letters and digits: the key in params.yaml
    title: str
    licence: str
    credentialed: bool  # its users signed an agreement; a set with it is no more open than it is
    on: str  # the collection whose images its rows name, for a message

    def tables(self, root: RawTree) -> tuple[str, ...]:
        """Return the tables below the root, relative to it.

        Raises ConfigError, with the files that were searched, if the root has none.
        """

    def facts(self, root: RawTree, table: str) -> Iterator[Fact]:
        """Yield what the rows of one table say. Raises DataError for a broken table."""

    def image(self, text: str) -> str:
        """Return the layer's id of the image that a path or an id names, "" if it names none."""


@dataclass(frozen=True)
class OpenLayer:
    """A layer, the folder it is in, and its tables."""

    layer: Layer
    root: RawTree
    tables: tuple[str, ...]

    @classmethod
    def at(cls, layer: Layer, root: str, key: str) -> OpenLayer:
        """Find the tables of a layer; `key` is that of its folder in params.yaml.

        Raises ConfigError for a folder that is not there or holds none of them.
        """
        try:
            tree = RawTree(paths.root(root))
        except ConfigError:
            raise ConfigError(
                f"{key}: no folder at {root}: give the one of {layer.title}"
            ) from None
        return cls(layer, tree, layer.tables(tree))


@dataclass(frozen=True)
class OfImage:
    """What a layer says of one image."""

    boxes: tuple[SourceBox, ...] = ()
    changes: tuple[SourceChange, ...] = ()
    rows: int = 0  # of its tables


@dataclass(frozen=True)
class ReadLayer:
    """What a layer says, by image, with notes on the rows that say nothing."""

    layer: Layer
    images: Mapping[str, OfImage]
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often

    @property
    def rows(self) -> int:
        """Return the number of rows that can be used."""
        return sum(found.rows for found in self.images.values())

    def of(self, study: Study, image: Image) -> tuple[str, OfImage | None]:
        """Return (the image's id in the layer, what the layer says of it)."""
        name = image.origin or image.key
        for text in (image.path, name, f"{ids.of_origin(study)}_{name}"):
            if found := self.layer.image(text):
                return found, self.images.get(found)
        return "", None


def read(opened: OpenLayer) -> ReadLayer:
    """Read all tables of a layer. Raises DataError if no row of them can be used."""
    notes: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    images: dict[str, list[Fact]] = {}
    for table in opened.tables:
        for fact in opened.layer.facts(opened.root, table):
            if fact.code:
                shown[fact.code] += 1
                named = f" {fact.place}" if shown[fact.code] <= SHOWN else ""
                notes[fact.code + named] += 1
            else:
                images.setdefault(fact.image, []).append(fact)
    found = {name: _of_image(opened.layer.name, facts, notes) for name, facts in images.items()}
    made = ReadLayer(opened.layer, {k: v for k, v in sorted(found.items()) if v.rows}, +notes)
    if not made.images:
        why = ", ".join(f"{n:,} {code}" for code, n in sorted(made.notes.items())) or "no row"
        raise DataError(
            f"layer.empty: no row of {opened.layer.title} can be used ({why}); download it again"
        )
    return made


def _of_image(layer: str, facts: Sequence[Fact], notes: Counter[str]) -> OfImage:
    """Join what the rows of one image say; rows that contradict each other say nothing."""
    boxes = _agreeing_boxes([fact.box for fact in facts if fact.box], notes)
    changes = _agreeing_changes([fact.change for fact in facts if fact.change], notes)
    return OfImage(
        tuple(replace(box, layer=layer) for box in boxes),
        tuple(replace(change, layer=layer) for change in changes),
        len(boxes) + len(changes),
    )


def _agreeing_boxes(boxes: Sequence[SourceBox], notes: Counter[str]) -> list[SourceBox]:
    """Return the boxes of one image in order; none if the rows give the image several sizes."""
    if len({box.frame for box in boxes}) > 1:
        notes["layer.conflict"] += len(boxes)
        return []
    once = set(boxes)
    notes["layer.repeated_row"] += len(boxes) - len(once)
    return sorted(once, key=lambda b: (b.label, b.phrase, b.x, b.y, b.w, b.h))


def _agreeing_changes(changes: Sequence[SourceChange], notes: Counter[str]) -> list[SourceChange]:
    """Return the changes of one image in order, without those of which two are said."""
    once = sorted(set(changes), key=lambda c: (c.label, c.earlier, c.change))
    notes["layer.repeated_row"] += len(changes) - len(once)
    said = Counter((change.label, change.earlier) for change in once)
    kept = [change for change in once if said[change.label, change.earlier] == 1]
    notes["layer.conflict"] += len(once) - len(kept)
    return kept


def lay(study: Study, layers: Iterable[ReadLayer]) -> tuple[Study, dict[str, list[str]]]:
    """Return (the study with what the layers say of its images, the ids found by layer)."""
    images = list(study.images)
    matched: dict[str, list[str]] = {}
    for each in layers:
        for place, image in enumerate(images):
            name, found = each.of(study, image)
            if found is None:
                continue
            matched.setdefault(each.layer.name, []).append(name)
            images[place] = replace(
                image, boxes=image.boxes + found.boxes, changes=image.changes + found.changes
            )
    return (replace(study, images=tuple(images)) if matched else study), matched


def find_earlier(studies: Iterable[Study], layers: Sequence[ReadLayer]) -> Iterator[Study]:
    """Yield the studies of a patient; a change then names the sample of the earlier image.

    It names none if the earlier image is not among the patient's: it is not in the collection, or
    its file could not be read.
    """
    studies = list(studies)
    if any(image.changes for study in studies for image in study.images):
        for each in layers:
            found = [(each.of(s, i)[0], ids.of_image(s, i)) for s in studies for i in s.images]
            keys = {name: key for name, key in found if name}
            studies = [_with_earlier(study, each.layer.name, keys) for study in studies]
    yield from studies


def _with_earlier(study: Study, layer: str, keys: Mapping[str, str]) -> Study:
    def found(change: SourceChange) -> SourceChange:
        if change.layer != layer:
            return change
        return replace(change, earlier=keys.get(change.earlier, ""))

    images = tuple(
        replace(image, changes=tuple(map(found, image.changes))) for image in study.images
    )
    return replace(study, images=images)


def bounded(sides: Sequence[float], frame: Size) -> bool:
    """Return whether a box (x, y, w, h) has an area and is inside, to half a pixel of rounding."""
    x, y, w, h = sides
    width, height = frame
    return w > 0 and h > 0 and x >= -0.5 and y >= -0.5 and x + w <= width + 0.5 and (
        y + h <= height + 0.5
    )  # fmt: skip


def unmatched(layer: ReadLayer, matched: Iterable[str]) -> int:
    """Return how many rows of a layer name images that the inventory does not have.

    Raises DataError if all of them do.
    """
    rows = sum(layer.images[name].rows for name in set(matched))
    if not rows:
        raise DataError(
            f"layer.unmatched: none of the {len(layer.images):,} images that "
            f"{layer.layer.title} names is in the collection: it is a layer on {layer.layer.on}; "
            f"finish the download of these images, or remove `{layer.layer.name}` from `layers`"
        )
    return layer.rows - rows
