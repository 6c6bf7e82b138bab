"""The user's file of texts in other words in, one text's other wording out.

`cxr-vlp translate` writes the file. MIMIC-CXR has some 400,000 different sections, 100 MB
of them: what is held, and sent to the workers, is where the lines begin (16 bytes a line); a line
is read when its text comes by. The file may grow meanwhile; what is added counts in the next run.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxr_vlp.nlp import translations
from cxr_vlp.pipelines.errors import ConfigError


@dataclass(frozen=True)
class Translations:
    """Where the line of each text begins; `digest` is over the bytes of the whole file."""

    path: str
    digest: str
    starts: np.ndarray = field(compare=False)  # (N,) uint64, sorted: a text's sha256, eight bytes
    offsets: np.ndarray = field(compare=False)  # (N,) uint64, bytes

    def of(self, text: str) -> str:
        """Return the text in its other words; "" where there are none, or they are the same.

        Of two lines for a text the later one counts. Raises ConfigError where the file is not
        what it was.
        """
        wanted = translations.digest(text)
        start = np.uint64(int(wanted[:16], 16))
        first, last = (int(np.searchsorted(self.starts, start, side)) for side in ("left", "right"))
        for offset in self.offsets[first:last][::-1]:
            found, said = self._line(int(offset))
            if found == wanted:
                said = " ".join(said.split())
                return "" if said == text else said
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

    Raises ConfigError with the number of a line that is none, FileNotFoundError without a file.
    """
    starts, offsets, total, place = array("Q"), array("Q"), hashlib.sha256(), 0
    with Path(path).open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                name, _ = translations.parse(line)
            except ValueError:
                raise ConfigError(
                    f"texts.translations: line {number} of {path} is no translation: run "
                    "`cxr-vlp translate` again if it was killed, else delete the line"
                ) from None
            starts.append(int(name[:16], 16))
            offsets.append(place)
            total.update(line)
            place += len(line)
    order = np.argsort(np.asarray(starts, np.uint64), kind="stable")
    sides = (np.asarray(values, np.uint64)[order] for values in (starts, offsets))
    return Translations(path, total.hexdigest(), *sides)
