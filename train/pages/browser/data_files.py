"""Writes the data of a page as JavaScript files, because a page from file:// may not fetch JSON.

A data file is one call of a function of the page, `cxr.receive(NAME, PLACE, VALUE)`. It holds ASCII
alone, and no character that ends a script or a comment in HTML: report text may hold anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format.sample import KEY, key_hash

_LONGEST = 60  # characters of a name that becomes a part of a path
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&'`"}


def literal(value: Any) -> str:
    """Return a JSON value as a JavaScript expression that is also safe inside HTML.

    json.dumps writes all but ASCII as \\u escapes, U+2028 among them; the signs that mean something
    to HTML can stand in strings only, where an escape means the same.

    >>> literal({"text": "</script> it's"})
    '{"text":"\\\\u003c/script\\\\u003e it\\\\u0027s"}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)


def write(path: Path, name: str, place: int, value: Any) -> None:
    """Write a data file: the value number `place` of the list `name`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"cxr.receive({literal(name)},{place},{literal(value)});\n", encoding="ascii")


def part_of_path(name: str) -> str:
    """Return a name that any file system and URL takes: the name itself, or a hash of it.

    Tars of other programs may have keys with any character, and a folder may have any name.
    """
    plain = KEY.fullmatch(name) and len(name) <= _LONGEST
    return name if plain else key_hash(name)
