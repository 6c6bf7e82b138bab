"""Which split a patient belongs to.

Splits are by patient, always: the official list where the collection has one, a salted hash of
the patient's id where it has none, so that no list needs to be kept and nobody can be in two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class PatientRule:
    """How one collection's patients are split; built from section `scan`."""

    source: str
    salt: str
    validate: float
    test: float

    def split(self, patient: str, *, held_out: bool = True) -> str:
        """Return the split of a patient whom no official list places.

        With held_out=False there are only train and validate, in the proportion that is left:
        for collections whose official list names the test patients and nothing else (NIH).
        """
        text = "\x1f".join((self.salt, "split", self.source, patient))
        place = int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
        test = self.test if held_out else 0.0
        validate = self.validate if held_out else self.validate / (1 - self.test)
        if place < test:
            return "test"
        return "validate" if place < test + validate else "train"
