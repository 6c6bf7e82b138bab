"""A patient's id in, the hidden id and the split out.

Splits are by patient, always: the official list where the collection has one, a salted hash of
the patient's id where it has none, so that no list needs to be kept and nobody can be in two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class PatientRule:
    """How one collection's patients are hidden and split; built from section `scan`."""

    source: str
    salt: str
    validate: float
    test: float

    def hidden(self, patient: str) -> str:
        """Return the 16 hex digits that stand for the patient in everything we write."""
        return self._hash("patient", patient)[:16]

    def split(self, patient: str, *, held_out: bool = True) -> str:
        """Return the split of a patient whom no official list places.

        With held_out=False there are only train and validate, in the proportion that is left:
        for collections whose official list names the test patients and nothing else (NIH).
        """
        place = int(self._hash("split", patient)[:12], 16) / 16**12
        test = self.test if held_out else 0.0
        validate = self.validate if held_out else self.validate / (1 - self.test)
        if place < test:
            return "test"
        return "validate" if place < test + validate else "train"

    def _hash(self, purpose: str, patient: str) -> str:
        text = "\x1f".join((self.salt, purpose, self.source, patient))
        return hashlib.sha256(text.encode()).hexdigest()
