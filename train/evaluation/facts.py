"""What an evaluation knows of an image beside its pixels: origin, view, patient, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cxr_vlp.pipelines.format.sample import Sample


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image, or one study where the unit of a protocol is the study.

    `key` is the sample's key (of a study: the first image's). `patient` and `study` begin with the
    source, because an id is unique only in its source. `labels` are 1, 0 or -1, as in the sample.
    """

    key: str
    source: str
    patient: str
    study: str
    view: str = "unknown"
    projection: str = ""
    sex: str = ""
    age: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, key: str, sample: Sample) -> ImageFacts:
        """Return the facts of a sample of the set `source`."""
        return cls(
            key=key,
            source=source,
            patient=f"{source}/{sample.patient}",
            study=f"{source}/{sample.study}",
            view=sample.view or "unknown",
            projection=sample.projection,
            sex=sample.sex,
            age=sample.age,
            labels=dict(sample.all_labels),
        )
