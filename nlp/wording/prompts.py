"""Makes texts from labels: for training without reports, and for zero-shot evaluation.

Every text is a frame of lexicon/en/prompts.yaml, or of a user's bank, with a name of the finding in
it. Random choices follow from (seed, epoch, key) only, never from global state.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.nlp.uncertainty import NEGATIVE
from cxr_vlp.nlp.wording.relations import deniable

_POLARITY = {1: "positive", 0: "negative", -1: "uncertain"}
_SAID = ("frames", "names", "no_finding")  # a part of a product may be left out, these may not
BANKS = ("pair", "there_is", "direct", "frames", "products")


@dataclass(frozen=True)
class Bank:
    """The frames and names that prompts are made from."""

    frames: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[str, ...]]
    no_finding: Mapping[str, tuple[str, ...]]
    products: Mapping[str, Mapping[str, tuple[str, ...]]]


@functools.cache
def own_bank(path: str = "") -> Bank:
    """Return our own bank, or the user's file of the same shape at `path`.

    Raises ValueError naming what an own file lacks, FileNotFoundError where there is none.
    """
    raw = _raw(path)
    bank = Bank(
        _wordings(raw, "frames", path),
        _wordings(raw, "names", path),
        _wordings(raw, "no_finding", path),
        {label: _wordings(raw["products"], label, path) for label in raw.get("products", ())},
    )
    for label, parts in bank.products.items():
        if set(parts) != {"severity", "subtype", "location"}:
            raise ValueError(f"{path}: products: {label} needs severity, subtype and location")
    for name in ("frames", "no_finding"):
        lacking = set(_POLARITY.values()) - set(getattr(bank, name))
        if lacking:
            raise ValueError(f"{path}: {name} also needs {', '.join(sorted(lacking))}")
    if any("{x}" not in frame for frames in bank.frames.values() for frame in frames):
        raise ValueError(f"{path}: every frame needs {{x}}, the place of the finding's name")
    return bank


def _wordings(raw: Any, part: str, path: str) -> dict[str, tuple[str, ...]]:
    """Return one part of a bank; an empty list or text would make an empty prompt."""
    rows = raw.get(part) if isinstance(raw, Mapping) else None
    if not isinstance(rows, Mapping):
        message = f"{path}: a prompt bank needs frames, names and no_finding; it lacks {part}"
        raise ValueError(message)  # noqa: TRY004 - the file is wrong
    for name, words in rows.items():
        if not isinstance(words, list) or not words:
            raise ValueError(f"{path}: {part}: {name} needs a list of texts")
        if part in _SAID and not all(str(w).strip() for w in words):
            raise ValueError(f"{path}: {part}: {name} needs texts, none of them empty")
    return {name: tuple(words) for name, words in rows.items()}


def _raw(path: str) -> Any:
    if not path:
        return lexicon.load("prompts")
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML") from error


def texts(label: str, polarity: str, prompts: Bank | None = None) -> tuple[str, ...]:
    """Return every prompt of `label` in one polarity, in a fixed order, each once."""
    chosen = prompts or own_bank()
    if label == NO_FINDING:
        return chosen.no_finding[polarity]
    names = chosen.names.get(label) or (label.lower(),)
    filled = (_fill(f, n) for f, n in itertools.product(chosen.frames[polarity], names))
    return tuple(dict.fromkeys(filled))


def _fill(frame: str, name: str) -> str:
    """Return the frame with the name in it; a denied name loses its article ("No mass")."""
    bare = name.removeprefix("a ").removeprefix("an ")
    bare = re.sub("^another ", "other ", bare)
    denies = "o {x}" in frame or "Possible {x}" in frame or "Probable {x}" in frame
    text = frame.replace("{x}", bare if denies or frame.startswith("{x}") else name)
    return text[0].upper() + text[1:]


def report_prompts(
    labels: Mapping[str, int],
    *,
    k: int,
    seed: int,
    epoch: int,
    key: str,
    negatives: int = 3,
    prompts: Bank | None = None,
) -> tuple[str, ...]:
    """Return `k` report-like texts for a study that has labels only; () where nothing can be said.

    Each text names every positive and uncertain label, and denies up to `negatives` sampled labels
    that are 0, in mixed order. A label without a key is never denied: it was not looked for or not
    mentioned. The reader of a complete collection writes its zeros itself.

    A row may contradict itself. Then its positive and uncertain labels win: a 0 is not denied
    beside a label that implies or overlaps it (lexicon/en/relations.yaml), and No Finding is named
    only where no label but Support Devices is positive or uncertain. No Finding 0 becomes a text
    that the chest is abnormal where nothing else says so. The same arguments give the same texts.
    """
    said, denied = _said(labels), deniable(labels)
    if not said and not (denied and negatives):
        return ()
    rngs = (random.Random(f"{seed}/{epoch}/{key}/{i}") for i in range(k))
    return tuple(_report(said, denied, rng, negatives, prompts) for rng in rngs)


def _report(
    said: Sequence[tuple[str, int]],
    denied: Sequence[str],
    rng: random.Random,
    negatives: int,
    prompts: Bank | None,
) -> str:
    chosen = rng.sample(denied, min(negatives, len(denied)))
    parts = [rng.choice(texts(name, _POLARITY[state], prompts)) for name, state in said]
    parts += [rng.choice(texts(name, "negative", prompts)) for name in chosen]
    rng.shuffle(parts)
    return " ".join(parts)


def _said(labels: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return (label, state) of all labels that every text of the row names, No Finding last."""
    said = [(n, s) for n, s in sorted(labels.items()) if s != NEGATIVE and n != NO_FINDING]
    if NO_FINDING in labels and all(name == DEVICES for name, _ in said):
        said.append((NO_FINDING, labels[NO_FINDING]))
    return said


def zero_shot(
    label: str, bank: str = "pair", prompts: Bank | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the positive and negative prompts of a label, of any name.

    pair: "edema" / "no edema"; there_is: "There is edema" / "There is no edema"; direct: "There is
    edema" without a negative prompt (CARZero, OFF-CLIP; a normal image is "There is no finding");
    frames: all the frames x names of ours; products: severity x subtype x location where the bank
    has them, else as there_is. `prompts` is a user's bank in place of ours.
    """
    chosen = prompts or own_bank()
    name = label.lower()
    if bank == "pair":
        return (name,), (f"no {name}",)
    if bank == "frames":
        return texts(label, "positive", chosen), texts(label, "negative", chosen)
    if bank == "products" and label in chosen.products:
        return products(label, chosen), (f"There is no {name}",)
    if bank == "direct":
        return (f"There is {name}",), ()
    if bank in ("there_is", "products"):
        return (f"There is {name}",), (f"There is no {name}",)
    raise ValueError(f"prompt bank must be one of {BANKS}, not {bank!r}")


def products(label: str, prompts: Bank | None = None) -> tuple[str, ...]:
    """Return severity x subtype x location of a label, in a fixed order."""
    parts = (prompts or own_bank()).products[label]
    rows = itertools.product(parts["severity"], parts["subtype"], parts["location"])
    return tuple(" ".join(p for p in row if p) for row in rows)
