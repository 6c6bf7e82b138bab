"""For MGCA: master.csv for pre-training, and the tables of CheXpert for its linear classification.

The folder stands for two folders of its constants.py at once, that of MIMIC-CXR-JPG and that of
CheXpert: their tables have different names, and both classes cut the first folder off a path.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, segments, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables

CHECKED = "github.com/HKU-MedAI/MGCA, revision 680fe4a"
MIMIC = "data/raw/physionet.org/files/mimic-cxr-jpg/2.0.0"
LABELLED = {"train": "train_split.csv", "valid": "valid_split.csv", "test": "valid.csv"}
SECTIONS = ("impression", "findings")
PROJECTIONS = ("PA", "AP")
_FEWEST_WORDS = 3  # of a text, over its sentences


class Mgca:
    """Writes master.csv (texts) and train_split.csv, valid_split.csv, valid.csv (labels)."""

    about = "MGCA: frontal images with impression and findings; labels for classification"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        names = items.fields(request, ())
        with tables.writing(request.out) as made:
            for item in items.of(request):
                code = _add(made, writer, item, names)
                if code:
                    writer.leave_out(code)
        tables.page(request.out, "MGCA", CHECKED, [_commands(made), _NOTES], made)
        return writer.result


def _add(made: Tables, writer: Writer, item: Item, names: Sequence[str]) -> str:
    """Add a sample to the tables that can use it; return the code of one that none can."""
    sample = item.sample
    if sample.view != "frontal":
        return items.WRONG_VIEW
    impression, findings = texts_of(item, names)
    words = " ".join(segments.gloria(f"{impression} {findings}")).split()
    paired = len(words) >= _FEWEST_WORDS and sample.projection in PROJECTIONS
    labelled = any(name in sample.labels for name in CHEXPERT)
    if not paired and not labelled:
        return _code(bool(impression + findings), sample.projection in PROJECTIONS)
    path = writer.add(item)
    if paired:
        row = {"Path": f"2.0.0/{path}", "dicom_id": sample.image, "subject_id": sample.patient}
        row |= {"study_id": sample.study, "ViewPosition": sample.projection}
        # its class adds the two texts up, and cannot add a missing value
        row |= {"impression": impression or " ", "findings": findings or " ", "split": item.split}
        made.add("master.csv", row)
    if labelled:
        labels = {name: item.label(name) for name in CHEXPERT}
        row = {"Path": f"CheXpert-v1.0/{path}", "Frontal/Lateral": "Frontal"}
        made.add(LABELLED[item.split], row | labels)
    return ""


def _code(has_text: bool, has_projection: bool) -> str:
    if not has_text:
        return items.NO_TEXT
    return items.SHORT_TEXT if has_projection else items.WRONG_VIEW


def texts_of(item: Item, names: Sequence[str]) -> tuple[str, str]:
    """Return impression and findings, or the text of --caption as the impression."""
    if names:
        return item.text(names), ""
    impression, findings = (item.text([name]) for name in SECTIONS)
    return impression, findings


def _commands(made: Tables) -> str:
    lines = ["# MGCA: your checkout; its data is in the folder beside it"]
    if "master.csv" in made.rows:
        lines += [
            f'mkdir -p "MGCA/../{MIMIC.rpartition("/")[0]}" MGCA/data',
            f'ln -s "$PWD" "MGCA/../{MIMIC}"',
            "(cd MGCA/mgca/models/mgca && python mgca_module.py --gpus 1)",
        ]
    if set(made.rows) & set(LABELLED.values()):
        lines += [
            'mkdir -p MGCA/../data && ln -s "$PWD" MGCA/../data/CheXpert-v1.0',
            "(cd MGCA/mgca/models/mgca && python mgca_finetuner.py --gpus 1 --dataset chexpert "
            "--path model.ckpt)",
        ]
    return "\n".join(["```", *lines, "```"])


_NOTES = """
- `master.csv`: frontal images with text whose projection is AP or PA; its class reads no others.
  A section without text is a blank. Our validate is `valid` and our test is `test`, where its own
  preprocessing makes one split of both.
- Its class writes the sentences to `MGCA/data/captions.pickle` at the first run and reads them
  from then on: delete it whenever `master.csv` is another one.
- The tables of labels: frontal images with at least one of CheXpert's 14. 1, 0, -1 (uncertain),
  blank (not mentioned); its class counts blanks as 0 and maps -1 by label.
"""
