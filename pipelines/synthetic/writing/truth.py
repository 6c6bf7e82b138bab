"""Makes the lines of the truth file beside each tree, which lists the content of the tree.

The pipelines never read this file. Tests do, to check that the output agrees with the input.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.cases.people import Case
from cxr_vlp.pipelines.synthetic.writing.case_content import sentences

# In alphabetical order, as in MIMIC-CXR-JPG's label files.
LABELS = tuple(sorted(CHEXPERT_LABELS))
# CheXpert's hierarchy: a reader who marks the first marks the others, too.
_IMPLIES: Mapping[str, tuple[str, ...]] = {
    "Cardiomegaly": ("Enlarged Cardiomediastinum",),
    "Edema": ("Lung Opacity",),
    "Consolidation": ("Lung Opacity",),
    "Pneumonia": ("Consolidation", "Lung Opacity"),
    "Atelectasis": ("Lung Opacity",),
    "Lung Lesion": ("Lung Opacity",),
}


def true_labels(study: Study) -> dict[str, int]:
    """Return 1 or 0 for each of the 14 labels, as radiologists who see the image would mark it.

    A faint finding is present, although the report hedges it. With a device alone "No Finding" is
    1.
    """
    present = {finding.name for finding in study.findings}
    present |= {more for name in present for more in _IMPLIES.get(name, ())}
    if not present & (set(LABELS) - {"Support Devices"}):
        present.add("No Finding")
    return {name: int(name in present) for name in LABELS}


def image_line(
    path: Path, root: Path, view: str, boxes: Iterable[Sequence[Any]] = ()
) -> dict[str, Any]:
    """Return one image's entry: its path below the tree's root, boxes in pixels of that file."""
    return {
        "path": path.relative_to(root).as_posix(),
        "view": view,
        "boxes": [
            {"label": label, **{k: round(float(v), 1) for k, v in zip("xywh", place, strict=True)}}
            for label, *place in boxes
        ],
    }


def study_line(
    case: Case,
    *,
    source: str,
    study: str,
    patient: str,
    split: str,
    labels: Mapping[str, int],
    images: Sequence[Mapping[str, Any]],
    seed: int,
    reported: bool = True,
    left_out: Container[str] = (),
) -> dict[str, Any]:
    """Return a study's line. `study` and `patient` are the ids as the tree spells them.

    Where images or report are real, findings and labels are invented and the line says so.
    Sentences of sections that are `left_out` of the tree are left out here as well.
    """
    return {
        "source": source,
        "study": study,
        "patient": patient,
        "split": split,
        "pairing": case.pairing,
        "labels_from": "findings" if case.pairing == "drawn" else "invented",
        "findings": [
            {k: v for k, v in asdict(finding).items() if v not in ("", None, 0, 0.0)}
            for finding in case.study.findings
        ],
        "labels": dict(labels),
        "images": list(images),
        "sentences": [
            {"text": text, "section": section, "status": status}
            for text, section, status in (sentences(case, seed=seed) if reported else ())
            if section not in left_out
        ],
    }
