"""The functions of the public interface that join several modules: shards, loader, AUROC table.

They are exported by `cxr_vlp` itself: `cxr_vlp.open_shards(...)`. Heavy packages are imported
inside the functions that need them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from cxr_vlp.train.config.recipe import Recipe
    from cxr_vlp.train.data.batches import Batch
    from cxr_vlp.train.data.loader import Loading
    from cxr_vlp.train.data.samples import StoredSample
    from cxr_vlp.train.data.shards import Shard
    from cxr_vlp.train.evaluation.auroc_table import Measured

Place = str | os.PathLike[str]


def open_shards(paths: Place | Sequence[Place], split: str | None = None) -> Iterator[StoredSample]:
    """Return the samples of sets of shards, in the order in which they are stored.

    paths: a set (the folder that `cxr-vlp shards` wrote), a folder of sets, or several of either;
    also on an object store ("s3://bucket/shards"). Its tars are kept in the folder that the
    variable CXR_SHARD_CACHE names (default ~/.cache/cxr-vlp/shards; CXR_SHARD_CACHE_GB: how much).
    split: "train", "validate" or "test"; None for all three, one after the other.

    A StoredSample is one image: its `key`, the encoded `image` (JPEG or PNG bytes; 8-bit grey), the
    `caption`, and `sample`, a Sample with the texts, labels, sentences and origin. They are read
    one at a time. Raises ConfigError at once for a folder without shards and for an unknown split,
    and DataError while reading, for a shard that is damaged or was written by another version. Both
    are ValueErrors. A store that does not answer raises an OSError.

    >>> stored = next(open_shards("data/shards", split="train"))
    >>> stored.key.partition("-")[0], stored.sample.view, stored.image[:2]
    ('mimic', 'frontal', b'\\xff\\xd8')
    """
    from cxr_vlp.train.data import ahead
    from cxr_vlp.train.data.samples import stored_samples

    found = _shards(paths, split)
    return (stored for shard in ahead.shards(found) for stored in stored_samples(shard))


class Loader:
    """An iterable of batches, made by `loader`. Each pass over it is the next epoch.

    `epoch` is the number of the next pass, from 0; set it to resume a training.

    A Batch of B pairs has `images` (V, B, 1, S, S) uint8, `tokens` (T, B, L) int64, `normal` (B,)
    bool, and `keys`, `texts` and `samples` of the B pairs. V images and T texts of a pair are 1 or
    2, as the recipe says; `images[0]` and `tokens[0]` alone are an ordinary batch.
    """

    def __init__(
        self, shards: Sequence[Shard], loading: Loading, batch_size: int, *, varied: bool
    ) -> None:
        self._shards, self._loading = tuple(shards), loading
        self._batch_size, self._varied = batch_size, varied
        self.epoch = 0

    @property
    def recipe(self) -> Recipe:
        """Return the recipe, with the overrides in it."""
        return self._loading.recipe

    def __iter__(self) -> Iterator[Batch]:
        """Return the batches of the next epoch. Raises DataError for a damaged shard."""
        from cxr_vlp.train.data.loader import in_order, training

        epoch, self.epoch = self.epoch, self.epoch + 1
        if self._varied:
            return training(self._shards, self._loading, epoch, self._batch_size)
        return in_order(self._shards, self._loading, self._batch_size)


def loader(
    shards: Place | Sequence[Place],
    recipe: Place | Mapping[str, Any] = "chexzero",
    *,
    split: str = "train",
    batch_size: int = 0,
    size: int = 0,
    tokenize: Callable[[str], Tensor] | None = None,
    seed: int = 0,
    workers: int = 0,
) -> Loader:
    """Return an iterable of batches of images and texts for a training loop in torch.

    shards: as in `open_shards`. Its split "train" is shuffled and varied
    (views, crops, texts) by the seed and the epoch; full batches only. Of another split every
    sample comes once, in order and unvaried, and the last batch may be smaller.
    recipe: the name of a recipe (`train/recipes`), the path of a .yaml file, or a mapping of
    changes to the recipe `base`, such as {"text": {"policies": ["impression"]}}.
    batch_size: pairs in a batch of this process; 0: its equal share of the recipe's batch, which
    is that of all processes (those of torch.distributed, or of torchrun).
    size: side of the square images in pixels; 0: as the recipe's image tower takes them.
    tokenize: a function from a text to (L,) int64; None: the tokenizer of the recipe's text tower.
    seed: of the order of the samples and of every random draw.
    workers: processes that read and decode; 0: this process. The order of an epoch depends on it.

    `cxr_vlp.train.data.batches.to_input(batch.images[0], batches.recipe.image)` gives
    (B, 3, S, S) float32, normalised. Under torch.distributed each rank gets its own part.

    Raises ConfigError for an unknown recipe, key, value or split, and for a split without shards;
    the iteration raises DataError for a damaged shard. Both are ValueErrors.

    >>> batches = loader("data/shards", "chexzero_tiny", batch_size=4, seed=1)
    >>> for batch in batches:
    ...     images, tokens = batch.images[0], batch.tokens[0]
    >>> images.shape, images.dtype, tokens.shape
    (torch.Size([4, 1, 96, 96]), torch.uint8, torch.Size([4, 48]))
    """
    from webdataset.utils import pytorch_worker_info

    from cxr_vlp.train.data.loader import Loading
    from cxr_vlp.train.engine.plan import share
    from cxr_vlp.train.errors import ConfigError

    chosen = _recipe(recipe)
    found = _shards(shards, split)
    if not found:
        raise ConfigError(f"no shards in the split {split!r} of the given folders")
    if not (size and tokenize):
        from cxr_vlp.train.model import build

        size = size or build.side(chosen.model)
        tokenize = tokenize or build.tokenizer(chosen.model)
    loading = Loading(chosen, size, tokenize, seed, workers)
    size_here = batch_size or share(chosen.run.batch_size, pytorch_worker_info()[1])
    return Loader(found, loading, size_here, varied=split == "train")


def auroc_table(
    scores: npt.ArrayLike,
    labels: Sequence[Mapping[str, int]],
    names: Sequence[str],
    *,
    patients: Sequence[str] = (),
    uncertain: str = "exclude",
    unmentioned: str = "negative",
    min_positives: int = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> Measured:
    """Return the AUROC of every label and their mean, with 95 % bootstrap intervals.

    scores: (N, L), higher for a finding that is more likely. labels: N mappings of label name to
    1 (positive), 0 (negative) or -1 (uncertain), as `all_labels` of a Sample; a label that
    is absent is not mentioned. names: the L labels of the columns.
    patients: N names; a patient's images are resampled together. Empty: each image by itself.
    uncertain: what -1 counts as: "exclude", "positive" or "negative". unmentioned: "exclude" or
    "negative". min_positives: a label with fewer positives or negatives is not measured: its
    AUROC is None, and it is listed in `unmeasured`.

    resamples: bootstrap resamples for an interval; 0: no intervals, `low` and `high` are None.

    Returns a Measured: `labels` has an Auroc (label, auroc, low, high, positives, negatives) for
    each name; `macro`, `low` and `high` are of the mean over `macro_of`. AUROCs are from 0 to 1.
    The label "No Finding" is measured, and is not part of the mean. Raises ValueError for lengths
    that do not fit, scores that are not finite, and unknown policies.

    >>> rows = [{"Edema": 1}, {"Edema": 0}, {"Edema": 1}, {}]
    >>> table = auroc_table([[0.9], [0.2], [0.4], [0.5]], rows, ["Edema"], resamples=0)
    >>> table.labels[0].auroc, table.labels[0].positives, table.macro
    (0.75, 2, 0.75)
    """
    import numpy as np

    from cxr_vlp.train.evaluation import auroc_table as tables
    from cxr_vlp.train.evaluation.measures.resampling import Intervals

    array = np.asarray(scores, np.float64)
    groups = list(patients) or [str(place) for place in range(len(labels))]
    if array.shape != (len(labels), len(names)) or len(groups) != len(labels):
        raise ValueError(
            f"scores {array.shape} must be {len(labels)} rows of labels by {len(names)} names, "
            f"with a patient for each row or none: {len(patients)} are given"
        )
    _refuse("uncertain", uncertain, tables.UNCERTAIN)
    _refuse("unmentioned", unmentioned, tuple(tables.UNMENTIONED))
    truth = tables.targets(labels, names, uncertain=uncertain, unmentioned=unmentioned)
    intervals = Intervals(resamples, "patient", seed)
    return tables.measured(array, truth, names, groups, intervals, min_positives)


def _refuse(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError for a value that is not allowed."""
    if value not in allowed:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(allowed)}")


def _shards(paths: Place | Sequence[Place], split: str | None) -> tuple[Shard, ...]:
    """Return the shards of a split, or of all splits, below one or several folders."""
    from cxr_vlp.pipelines.format.sample import SPLITS
    from cxr_vlp.train import addresses
    from cxr_vlp.train.data.shards import list_shards
    from cxr_vlp.train.errors import ConfigError

    if split is not None and split not in SPLITS:
        raise ConfigError(f"no split {split!r}; there are: {', '.join(SPLITS)}")
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    folders = addresses.here(several)
    return tuple(
        shard for name in ((split,) if split else SPLITS) for shard in list_shards(folders, name)
    )


def _recipe(recipe: Place | Mapping[str, Any]) -> Recipe:
    from cxr_vlp.train.config.recipe import load

    if isinstance(recipe, Mapping):
        return load("base", recipe)
    return load(os.fspath(recipe))
