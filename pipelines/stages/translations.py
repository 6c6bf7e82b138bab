"""Finds the translation of a text in the user's file, which `cxr-vlp translate` writes.

MIMIC-CXR has some 400,000 different sections, 100 MB of text. So only the offsets of the lines are
kept in memory and sent to the workers (16 bytes per line); a line is read when its text is needed.
The file may grow meanwhile; lines that are added are used in the next run.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxr_vlp.nlp.wording import translations
from cxr_vlp.pipelines.errors import ConfigError


@dataclass(frozen=True)
class Translations:
    """The offset of each text's line; `digest` is that of the whole file's bytes."""

    path: str
    digest: str
    starts: np.ndarray = field(compare=False)  # (N,) uint64, sorted: a text's sha256, eight bytes
    offsets: np.ndarray = field(compare=False)  # (N,) uint64, bytes

    def of(self, text: str) -> str:
        """Return the translation of a text; "" if there is none, or if it equals the text.

        The later of two lines for a text counts. Raises ConfigError if the file changed.
        """
        wanted = translations.digest(text)
        start = np.uint64(int(wanted[:16], 16))
        first, last = (int(np.searchsorted(self.starts, start, side)) for side in ("left", "right"))
        for offset in self.offsets[first:last][::-1]:
            found, translation = self._line(int(offset))
            if found == wanted:
                translation = " ".join(translation.split())
                return "" if translation == text else translation
        return ""

    def _line(self, offset: int) -> tuple[str, str]:
        try:
            with Path(self.path).open("rb") as stream:
                stream.seek(offset)
                return translations.parse(stream.readline())
        except (ValueError, FileNotFoundError):
            raise ConfigError(f"{self.path} changed while it was read: run again") from None


def load(path: str) -> Translations:
    """Return the translations of a file.

    Raises ConfigError with the number of a malformed line, FileNotFoundError without a file.
    """
    starts, offsets, total, place = array("Q"), array("Q"), hashlib.sha256(), 0
    with Path(path).open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                name, _ = translations.parse(line)
            except ValueError:
                raise ConfigError(
                    f"texts.translations: line {number} of {path} is no translation: if "
                    "`cxr-vlp translate` was killed, run it again, else delete the line"
                ) from None
            starts.append(int(name[:16], 16))
            offsets.append(place)
            total.update(line)
            place += len(line)
    order = np.argsort(np.asarray(starts, np.uint64), kind="stable")
    sides = (np.asarray(values, np.uint64)[order] for values in (starts, offsets))
    return Translations(path, total.hexdigest(), *sides)
