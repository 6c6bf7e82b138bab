"""Finds the codes of 256 bits that differ in few bits, or in all but few, among many codes.

Two codes are compared as a whole if they agree in 16 chosen bits, of one of 96 choices. The codes
are sorted by these bits, so that those that agree stand together. The work is 96 sorts, and one
comparison for each two codes that agree: of films, 60 in a million pairs.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint64]  # a row of four words for each image
Words = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.uint16]
Numbers = npt.NDArray[np.intp]
Pairs = npt.NDArray[np.int64]  # a row of two numbers of codes, the lower one first

BITS = 256  # of a code
TABLES, KEY_BITS = 96, 16  # choices of bits in which two codes must agree once
NEAR = 64  # bits in which two near codes may differ
BLOCK = 1 << 15  # comparisons at a time, so that their numbers stay in the processor's cache

_ONE, _TWO, _FOUR, _TOP = map(np.uint64, (1, 2, 4, 56))
_EACH_2, _EACH_4, _EACH_8, _SUM = (
    np.uint64(int(digits * (16 // len(digits)), 16)) for digits in ("5", "3", "0f", "01")
)


def near(codes: Codes, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the pairs of different codes that differ in at most NEAR bits, or in all but those.

    A negative of a film has the complement of its code. The result is the same for every number
    of workers, which are threads: numpy works beside the interpreter.
    """
    across = _bits_across(codes)
    with ThreadPoolExecutor(max(1, workers)) as threads:
        found = np.empty((0, 2), np.int64)
        for pairs in threads.map(functools.partial(_of_choice, codes, across), _choices()):
            found = np.unique(np.concatenate([found, pairs]), axis=0)
    for one, other in found:
        yield int(one), int(other)


def differing(one: Words, other: Words) -> int:
    """Return in how many bits two codes differ."""
    return int(np.unpackbits((one ^ other).view(np.uint8)).sum())


@functools.cache
def _choices() -> list[list[int]]:
    """Return the bits of every table, the same on every machine."""

    def place(table: int, bit: int) -> bytes:
        return hashlib.blake2b(f"{table} {bit}".encode(), digest_size=8).digest()

    return [
        sorted(range(BITS), key=lambda bit, table=table: place(table, bit))[:KEY_BITS]  # type: ignore[misc]
        for table in range(TABLES)
    ]


def _bits_across(codes: Codes) -> npt.NDArray[np.uint8]:
    """Return for each of the 256 bits a row with this bit of all codes, eight in a byte."""
    rows = [
        np.packbits((codes[:, bit // 64] >> np.uint64(bit % 64)) & _ONE != 0) for bit in range(BITS)
    ]
    return np.stack(rows)


def _of_choice(codes: Codes, across: npt.NDArray[np.uint8], bits: Sequence[int]) -> Pairs:
    """Return the near pairs among the codes that agree in the chosen bits."""
    keys = _keys(across[bits], len(codes))
    order = np.argsort(keys, kind="stable")
    words = np.ascontiguousarray(codes[order].T)
    found = [np.empty((0, 2), np.int64), *_within(words, keys[order], order)]
    return np.concatenate(found)


def _keys(rows: npt.NDArray[np.uint8], number: int) -> Keys:
    """Return the chosen bits of every code as a number, which the complement of a code has too."""
    high, low = np.packbits(np.unpackbits(rows, axis=1, count=number), axis=0)
    keys: Keys = (high.astype(np.uint16) << np.uint16(8)) | low
    return np.minimum(keys, ~keys)


def _within(words: Words, keys: Keys, order: Numbers) -> Iterator[Pairs]:
    """Yield the near pairs among codes of one key; `keys` are sorted, `order` says whose they are.

    In each round, every code is compared with the one that is `step` behind it.
    """
    at, step = np.arange(len(keys)), 1
    while len(at):
        at = at[: np.searchsorted(at, len(keys) - step)]
        at = at[keys[at] == keys[at + step]]
        for start in range(0, len(at), BLOCK):
            one = at[start : start + BLOCK]
            other = one + step
            one = one[_is_near([row.take(one) ^ row.take(other) for row in words])]
            yield np.sort(np.stack([order[one], order[one + step]], axis=1), axis=1)
        step += 1


def _is_near(differences: Sequence[Words]) -> npt.NDArray[np.bool_]:
    """Return for each four words, one of each row, whether few of their bits or nearly all are set.

    The bits are counted in each 2, 4 and 8 bits of a word at once, as processors without an
    instruction for it do; 256 bits are counted as 0, which is near too.
    """
    sums = [_in_nibbles(words) for words in differences]
    pairs = [_in_bytes(sums[0] + sums[1]), _in_bytes(sums[2] + sums[3])]
    counts = ((pairs[0] + pairs[1]) * _SUM) >> _TOP
    near_ones: npt.NDArray[np.bool_] = np.minimum(counts, BITS - counts) <= NEAR
    return near_ones


def _in_nibbles(words: Words) -> Words:
    """Return the number of bits that are set in each four bits of a word, in their place."""
    words = words - ((words >> _ONE) & _EACH_2)
    return (words & _EACH_4) + ((words >> _TWO) & _EACH_4)


def _in_bytes(nibbles: Words) -> Words:
    """Return the sum of both halves of each byte of a word, in its place."""
    return (nibbles & _EACH_8) + ((nibbles >> _FOUR) & _EACH_8)
