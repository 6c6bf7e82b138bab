"""Collects pairs into batches of one size, and makes the model's input from a batch.

An image stays one uint8 channel until it is on the device: a twelfth of the size of float32 in
three channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import ImageConfig


@dataclass(frozen=True, slots=True)
class Pair:
    """What the model gets of one sample or study.

    images (V, 1, S, S) uint8; tokens (T, L) int64; `texts` are the T texts behind the tokens;
    `normal` is true where they assert no abnormality.
    """

    images: Tensor
    tokens: Tensor
    normal: bool
    key: str
    texts: tuple[str, ...]
    sample: Sample


@dataclass(frozen=True, slots=True)
class Batch:
    """B pairs of V images and T texts each; the recipe decides V and T, each 1 or 2.

    images (V, B, 1, S, S) uint8; tokens (T, B, L) int64; normal (B,) bool; B keys; T tuples of B
    texts; B samples without their texts. `images[0]` and `tokens[0]` alone are an ordinary batch.
    """

    images: Tensor
    tokens: Tensor
    normal: Tensor
    keys: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.keys)


def collate(pairs: Sequence[Pair]) -> Batch:
    """Return the batch of some pairs, in their order."""
    return Batch(
        images=torch.stack([pair.images for pair in pairs], dim=1),
        tokens=torch.stack([pair.tokens for pair in pairs], dim=1),
        normal=torch.tensor([pair.normal for pair in pairs]),
        keys=tuple(pair.key for pair in pairs),
        texts=tuple(zip(*(pair.texts for pair in pairs), strict=True)),
        samples=tuple(pair.sample for pair in pairs),
    )


def split_pairs(batch: Batch) -> list[Pair]:
    """Return the pairs of a batch; their tensors are views of the batch's."""
    images, tokens = batch.images.unbind(1), batch.tokens.unbind(1)
    texts = zip(*batch.texts, strict=True)
    rest = (batch.normal.tolist(), batch.keys, texts, batch.samples)
    return [Pair(*parts) for parts in zip(images, tokens, *rest, strict=True)]


def rebatch(
    chunks: Iterable[Batch], size: int, *, same_source: bool = False, apart: bool = False
) -> Iterator[Batch]:
    """Yield batches of `size` pairs from chunks of any length; the last one may be smaller.

    Every worker ends with a chunk of its own length. They are joined here, so an epoch has at most
    one short batch.

    `same_source`: each batch comes from one source; the rest of all sources is mixed at the end.
    Images of two collections differ in more than their findings (equalised or not, prompts or
    reports): in a mixed batch the model can tell most negatives by the source, and learns nothing
    from them.

    `apart`: no two pairs of one study are in a batch, where each would be a false negative of the
    other. A pair that comes too early waits for the next batch. More than one short batch may then
    remain at the end.
    """
    waiting: dict[str, list[Pair]] = {}
    for chunk in chunks:
        whole = len(chunk) == size and not same_source and not any(waiting.values())
        if whole and not (apart and _siblings(chunk)):
            yield chunk  # nothing to copy
            continue
        for pair in split_pairs(chunk):
            source = pair.sample.dataset if same_source else ""
            waiting.setdefault(source, []).append(pair)
        for source in sorted(waiting):
            yield from _full(waiting[source], size, apart=apart)
    left = [pair for source in waiting for pair in waiting[source]]
    yield from _full(left, size, apart=apart)
    while left:
        yield collate(_take(left, size, apart=apart))


def to_input(images: Tensor, recipe: ImageConfig) -> Tensor:
    """Return (B, 1, S, S) uint8 as (B, 3, S, S) float32, normalised, on the same device.

    Channels last, as the weights of the image tower. An image section of another framework's model
    holds a mean and a deviation of each channel, in its `transform`.
    """
    grey = images.float() / 255
    channels = getattr(recipe, "transform", None)
    if channels is not None:
        mean, std = (grey.new_tensor(v).view(3, 1, 1) for v in (channels.mean, channels.std))
        coloured = (grey - mean) / std
        return coloured.contiguous(memory_format=torch.channels_last)
    grey = grey.sub_(recipe.mean).div_(recipe.std)
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _siblings(batch: Batch) -> bool:
    """Return whether two pairs of a batch are of one study."""
    pairs = zip(batch.samples, batch.keys, strict=True)
    return len({_study(sample, key) for sample, key in pairs}) < len(batch)


def _study(sample: Sample, key: str) -> tuple[str, str]:
    # An image whose collection names no study is a study of its own.
    return sample.dataset, sample.study or key


def _full(waiting: list[Pair], size: int, *, apart: bool) -> Iterator[Batch]:
    """Yield the full batches that the waiting pairs allow; the others stay, in order."""
    while len(waiting) >= size:
        taken = _take(waiting, size, apart=apart)
        if len(taken) < size:
            waiting[:0] = taken
            return
        yield collate(taken)


def _take(waiting: list[Pair], size: int, *, apart: bool) -> list[Pair]:
    """Remove and return the first `size` waiting pairs, with `apart` each of another study."""
    taken: list[Pair] = []
    passed: list[Pair] = []
    studies: set[tuple[str, str]] = set()
    for place, pair in enumerate(waiting):
        if len(taken) == size:
            passed += waiting[place:]
            break
        study = _study(pair.sample, pair.key)
        (passed if apart and study in studies else taken).append(pair)
        studies.add(study)
    waiting[:] = passed
    return taken
