"""Makes the contact sheet of a card: a few images of every collection, split and view."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from cxr_vlp.pipelines.cards import stored
from cxr_vlp.pipelines.cards.stored import Stored
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.errors import DataError

NAME = "contact-sheet.jpg"
MOST = 24  # images
_COLUMNS, _SIDE, _CAPTION, _GAP = 6, 160, 16, 6  # pixels, except the first
_PAPER, _INK = 255, 60
_QUALITY = 88


def write(subject: Subject, folder: Path) -> None:
    """Write the contact sheet as a grey JPEG. Raises DataError for an image that is damaged.

    A caption says the collection, the split and the view: no id.
    """
    tiles = list(_tiles(subject))
    rows = -(-len(tiles) // _COLUMNS)
    columns = min(_COLUMNS, len(tiles))
    step_x, step_y = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    sheet = Image.new("L", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (caption, tile) in enumerate(tiles):
        x, y = _GAP + place % _COLUMNS * step_x, _GAP + place // _COLUMNS * step_y
        sheet.paste(tile, (x + (_SIDE - tile.width) // 2, y + (_SIDE - tile.height) // 2))
        draw.text((x, y + _SIDE + 2), caption, fill=_INK, font=font)
    sheet.save(folder / NAME, quality=_QUALITY)


def chosen(table: pa.Table) -> list[int]:
    """Return the rows that are shown: of every collection, split and view in turn.

    Within such a group the order is that of a hash of the key: it depends on no other sample.
    """
    groups: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    columns = [table.column(name).to_pylist() for name in ("key", "dataset", "split", "view")]
    for place, (key, *group) in enumerate(zip(*columns, strict=True)):
        groups[tuple(group)].append((hashlib.sha256(key.encode()).hexdigest(), place))
    # the first group of every collection, then the second: many collections have more than MOST
    within = Counter[str]()
    order = []
    for name in sorted(groups):
        order.append((within[name[0]], name))
        within[name[0]] += 1
    queues = [sorted(groups[name]) for _, name in sorted(order)]
    turns = (queue[turn] for turn in range(MOST) for queue in queues if turn < len(queue))
    return sorted(place for _, (_, place) in zip(range(MOST), turns, strict=False))


def _tiles(subject: Subject) -> Iterator[tuple[str, Image.Image]]:
    wanted = chosen(subject.table)
    first = 0
    for part in subject.parts:
        after = first + part.table.num_rows
        places = [place - first for place in wanted if first <= place < after]
        rows = part.table.take(pa.array(places, pa.int64()))  # a list has no type if it is empty
        for sample in stored.samples(part.folder, rows):
            yield _caption(sample.row), _tile(sample)
        first = after


def _caption(row: dict[str, Any]) -> str:
    return f"{row['dataset']}, {row['split']}, {row['view']}"[:27]


def _tile(sample: Stored) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(sample.image)).convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise DataError("an image cannot be decoded: run cxr-vlp verify --deep") from None
    image.thumbnail((_SIDE, _SIDE))
    return image
