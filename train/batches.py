"""Read samples come in, batches of one size go out, and from them what a model takes.

A picture stays one uint8 channel until it is on the device: a twelfth of float32 in three
channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from train.recipe import Pictures


@dataclass(frozen=True, slots=True)
class Batch:
    """B samples: images (B, 1, S, S) uint8, tokens (B, L) int64, B keys, texts, json records."""

    images: Tensor
    tokens: Tensor
    keys: tuple[str, ...]
    texts: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.keys)


def collate(samples: Sequence[Mapping[str, Any]]) -> Batch:
    """Return the batch of samples read one by one; each maps the names of Batch to its part."""
    return Batch(
        images=torch.stack([sample["images"] for sample in samples]),
        tokens=torch.stack([sample["tokens"] for sample in samples]),
        keys=tuple(sample["keys"] for sample in samples),
        texts=tuple(sample["texts"] for sample in samples),
        records=tuple(sample["records"] for sample in samples),
    )


def rebatch(chunks: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Yield batches of `size` from chunks of any length, in order, the last one as it comes out.

    Every worker ends on a chunk of its own length; joined here, an epoch has one short batch at
    most.
    """
    held: Batch | None = None
    for chunk in chunks:
        held = chunk if held is None else _join(held, chunk)
        while held is not None and len(held) >= size:
            full, held = _split(held, size)
            yield full
    if held is not None:
        yield held


def rebatch_by_source(chunks: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Yield batches of `size`, each of one source; what is left of them is mixed at the end.

    Films of two collections differ in more than their findings (equalised or not, prompts or
    reports): in a mixed batch most negatives are told apart by that, and teach nothing.
    """
    held: dict[str, Batch] = {}
    for chunk in chunks:
        sources = [str(record.get("dataset", "")) for record in chunk.records]
        for source in sorted(set(sources)):
            mine = _pick(chunk, [i for i, each in enumerate(sources) if each == source])
            held[source] = _join(held[source], mine) if source in held else mine
            while source in held and len(held[source]) >= size:
                full, rest = _split(held.pop(source), size)
                held |= {} if rest is None else {source: rest}
                yield full
    yield from rebatch(held.values(), size)


def to_input(images: Tensor, recipe: Pictures) -> Tensor:
    """Return (B, 1, S, S) uint8 as (B, 3, S, S) float32 normalised, on the device it is on.

    Channels last, as the towers' weights are.
    """
    grey = images.float().div_(255).sub_(recipe.mean).div_(recipe.std)
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _join(left: Batch, right: Batch) -> Batch:
    return Batch(
        torch.cat([left.images, right.images]),
        torch.cat([left.tokens, right.tokens]),
        left.keys + right.keys,
        left.texts + right.texts,
        left.records + right.records,
    )


def _split(batch: Batch, size: int) -> tuple[Batch, Batch | None]:
    places = range(len(batch))
    rest = _pick(batch, places[size:]) if len(batch) > size else None
    return _pick(batch, places[:size]), rest


def _pick(batch: Batch, places: Sequence[int]) -> Batch:
    index = torch.tensor(places, dtype=torch.long)
    return Batch(
        batch.images[index],
        batch.tokens[index],
        tuple(batch.keys[i] for i in places),
        tuple(batch.texts[i] for i in places),
        tuple(batch.records[i] for i in places),
    )
