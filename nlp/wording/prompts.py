"""Makes texts from labels: for training without reports, and for zero-shot evaluation.

Every text is a frame of lexicon/en/prompts.yaml, or of a user's bank, with a name of the finding in
it. Random choices follow from (seed, epoch, key) only, never from global state.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Mapping, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.uncertainty import NEGATIVE
from cxr_vlp.nlp.wording import grammar
from cxr_vlp.nlp.wording.bank import Bank, own_bank
from cxr_vlp.nlp.wording.places import BILATERAL
from cxr_vlp.nlp.wording.relations import deniable

_POLARITY = {1: "positive", 0: "negative", -1: "uncertain"}
BANKS = ("pair", "there_is", "direct", "frames", "products")
Detail = tuple[str, str]  # side and severity of a label, "" for what is not known
UNKNOWN: Detail = ("", "")


def texts(
    label: str, polarity: str, prompts: Bank | None = None, detail: Detail = UNKNOWN
) -> tuple[str, ...]:
    """Return every prompt of `label` in one polarity, in a fixed order, each once.

    `detail`: the side and severity of what is there; a denial never says them.
    """
    chosen = prompts or own_bank()
    if label == NO_FINDING:
        return chosen.no_finding[polarity]
    names = _names(label, polarity, chosen, detail)
    filled = (_fill(f, n, chosen) for f, n in itertools.product(chosen.frames[polarity], names))
    return tuple(dict.fromkeys(filled))


def _names(label: str, polarity: str, bank: Bank, detail: Detail) -> tuple[str, ...]:
    """Return the names of a label, with its side and severity where they are to be said."""
    names = bank.names.get(label) or (_lower(label),)
    if detail == UNKNOWN or polarity == _POLARITY[NEGATIVE]:
        return names
    # "small left fluid in the pleural space" is no English: only a name that ends with its noun
    open_ = [name for name in names if not _AFTER_NOUN.intersection(name.split())]
    return tuple(dict.fromkeys(_detailed(n, label, bank, detail) for n in open_)) or names


_AFTER_NOUN = frozenset({"of", "in", "through", "or"})


def _detailed(name: str, label: str, bank: Bank, detail: Detail) -> str:
    """Return a name with its severity and side: "a small left pleural effusion"."""
    side, severity = detail
    finding, bare = _finding(label), _bare(name)
    is_count = bare != name
    if finding in lexicon.load("statements")["midline"]:
        side = ""
    kind = grammar.COUNT if is_count or name in bank.plurals else grammar.MASS
    said = grammar.fitted(severity, finding, kind) if severity else ""
    if side == BILATERAL and is_count:
        bare, is_count = grammar.plural(bare), False
    phrase = " ".join(word for word in (said, side, bare) if word)
    return grammar.with_article(phrase) if is_count else phrase


@functools.cache
def _finding(label: str) -> str:
    """Return the finding that a label is first of, "" where there is none."""
    rows = terms.findings().values()
    return next((row.name for row in rows if row.labels[:1] == (label,)), "")


def _bare(name: str) -> str:
    """Return the name without its article: "another lesion" is denied as "no other lesion"."""
    first, _, rest = name.partition(" ")
    if first == "another":
        return f"other {rest}"
    return rest if first in ("a", "an") else name


def _fill(frame: str, name: str, bank: Bank) -> str:
    """Return the frame with the name, and the verb in its number."""
    is_plural = name in bank.plurals or name.startswith(BILATERAL) or f" {BILATERAL} " in name
    text = frame.replace("{x}", name).replace("{bare}", _bare(name))
    text = text.replace("{is}", "are" if is_plural and name.endswith("s") else "is")
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
    details: Mapping[str, Detail] | None = None,
) -> tuple[str, ...]:
    """Return `k` report-like texts for a study that has labels only; () where nothing can be said.

    Each text names every positive and uncertain label, and denies up to `negatives` sampled labels
    that are 0, in mixed order. A label without a key is never denied: it was not looked for or not
    mentioned. The reader of a complete collection writes its zeros itself. `details` has the side
    and severity of labels, where a collection tells them.

    A row may contradict itself. Then its positive and uncertain labels win: a 0 is not denied
    beside a label that implies or overlaps it (lexicon/en/relations.yaml), nor in words that the
    text says of another, and No Finding is named only where no label but Support Devices is
    positive or uncertain. No Finding 0 becomes a text that the chest is abnormal where nothing else
    says so. The same arguments give the same texts.
    """
    said, denied = _said(labels), deniable(labels)
    if not said and not (denied and negatives):
        return ()
    bank, known = prompts or own_bank(), details or {}
    rngs = (random.Random(f"{seed}/{epoch}/{key}/{i}") for i in range(k))
    return tuple(_report(said, denied, rng, negatives, bank, known) for rng in rngs)


def _report(
    said: Sequence[tuple[str, int]],
    denied: Sequence[str],
    rng: random.Random,
    negatives: int,
    bank: Bank,
    details: Mapping[str, Detail],
) -> str:
    parts, taken = [], set[str]()
    for label, state in said:
        polarity, detail = _POLARITY[state], details.get(label, UNKNOWN)
        if label == NO_FINDING:
            parts.append(rng.choice(bank.no_finding[polarity]))
            continue
        name = rng.choice(_names(label, polarity, bank, detail))
        parts.append(_fill(rng.choice(bank.frames[polarity]), name, bank))
        taken |= _content(name)
    free = {label: names for label in denied if (names := _untaken(label, bank, taken))}
    for label in rng.sample(sorted(free), min(negatives, len(free))):
        frame = rng.choice(bank.frames[_POLARITY[NEGATIVE]])
        parts.append(_fill(frame, rng.choice(free[label]), bank))
    rng.shuffle(parts)
    return " ".join(parts)


def _untaken(label: str, bank: Bank, taken: set[str]) -> tuple[str, ...]:
    """Return the names of a label that share no word with what a text says; "lung" may be shared.

    "Infectious consolidation. No airspace consolidation." would contradict itself. A name that
    shares not even such a word ("pleural", "disease") is preferred.
    """
    names = bank.names.get(label) or (_lower(label),)
    free = tuple(name for name in names if not _content(name) & taken)
    if free:
        return free
    return tuple(name for name in names if not (_content(name) & taken) - _shared())


@functools.lru_cache(maxsize=4096)
def _content(name: str) -> frozenset[str]:
    """Return the words of a name in their plain form, without the small ones."""
    return frozenset(token.word for token in tokenize(name)) - _small()


@functools.cache
def _small() -> frozenset[str]:
    return lexicon.words("statements", "small_words")


@functools.cache
def _shared() -> frozenset[str]:
    return lexicon.words("statements", "shared_words")


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
    name = _lower(label)
    there = "There are" if name in chosen.plurals else "There is"
    if bank == "pair":
        return (name,), (f"no {name}",)
    if bank == "frames":
        return texts(label, "positive", chosen), texts(label, "negative", chosen)
    if bank == "products" and label in chosen.products:
        return products(label, chosen), (f"{there} no {name}",)
    if bank == "direct":
        return (f"{there} {name}",), ()
    if bank in ("there_is", "products"):
        return (f"{there} {name}",), (f"{there} no {name}",)
    raise ValueError(f"prompt bank must be one of {BANKS}, not {bank!r}")


def _lower(label: str) -> str:
    """Return a label as a noun phrase: in lower case, but abbreviations."""
    return " ".join(w if w.isupper() else w.lower() for w in label.split())


def products(label: str, prompts: Bank | None = None) -> tuple[str, ...]:
    """Return severity x subtype x location of a label, in a fixed order."""
    parts = (prompts or own_bank()).products[label]
    rows = itertools.product(parts["severity"], parts["subtype"], parts["location"])
    return tuple(" ".join(p for p in row if p) for row in rows)
