"""For MedCLIP: NAME-meta.csv for each split, and sentences with their labels.

Its dataset class draws one sentence of the report; a sample whose report has none gets a labelled
sentence that fits its labels instead, from sentence-label.csv. Paths are opened from the folder of
its checkout, where a link to the export is `local_data/cxr_vlp`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cxr_vlp.nlp.wording import prompts
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, segments, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables
from cxr_vlp.pipelines.format.sample import ASSERTIONS, Sentence

LINK = "./local_data/cxr_vlp"
CHECKED = "github.com/RyanWangZf/MedCLIP, revision 9c3396f"
SENTENCES = "sentence-label.csv"
_SECTIONS = ("findings", "impression")
_NO_FINDING, _DEVICES = "No Finding", "Support Devices"
_VALUES = dict(zip(ASSERTIONS, (1, 0, -1), strict=True))  # present, absent, uncertain
_POLARITIES = {"positive": 1, "negative": 0, "uncertain": -1}
_PROMPTS = 20  # sentences of each label and polarity, of about eighty
Labels = dict[str, int]  # value of each of CHEXPERT, in that order


class MedClip:
    """Writes train-meta.csv, valid-meta.csv, test-meta.csv and sentence-label.csv."""

    about = "MedCLIP: images with report and CheXpert's 14 labels, labelled sentences"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        names = items.fields(request, ())
        found = {text: tuple(labels.values()) for text, labels in prompt_labels()}
        with tables.writing(request.out) as made:
            for item in items.of(request):
                code = _add(made, writer, item, names)
                if code:
                    writer.leave_out(code)
                elif item.split == "train":
                    for text, labels in sentence_labels(item.sample.sentences):
                        found[text] = tuple(labels.values())
            for number, text in enumerate(sorted(found)):
                row: dict[str, Any] = {"": number, "Reports": text}
                made.add(SENTENCES, row | dict(zip(CHEXPERT, found[text], strict=True)))
        tables.page(request.out, "MedCLIP", CHECKED, [_commands(made), _NOTES], made)
        return writer.result


def _add(made: Tables, writer: Writer, item: Item, names: Sequence[str]) -> str:
    """Add a sample to the table of its split; return the code of one that cannot be used."""
    # its class has 0 for what is negative and for what is not mentioned
    labels = {name: item.sample.labels.get(name, 0) for name in CHEXPERT}
    text = report_of(item, names)
    kept = bool(segments.medclip(text))
    if item.split != "train":
        # the class for tests reads the labels alone, and negative ones count
        if not any(name in item.sample.labels for name in CHEXPERT):
            return items.NO_LABEL
    elif not kept and not any(labels.values()):
        # without a sentence it needs a label, and fails at a row that has none
        return items.SHORT_TEXT if text else items.NO_TEXT
    text = text if kept else ""
    name = f"{item.split}-meta.csv"
    row = {"": made.rows[name], "imgpath": f"{LINK}/{writer.add(item)}"}
    row |= {"subject_id": item.sample.patient, "report": text}
    made.add(name, row | labels)
    return ""


def report_of(item: Item, names: Sequence[str]) -> str:
    """Return findings and impression as one text, or the text of --caption."""
    if names:
        return item.text(names)
    return " ".join(filter(None, (item.text([name]) for name in _SECTIONS)))


def sentence_labels(sentences: Sequence[Sentence]) -> Iterator[tuple[str, Labels]]:
    """Yield (sentence, its labels by name) of the sentences that its class can use."""
    for sentence in sentences:
        labels = _labels_of(sentence)
        text = items.said(sentence.text)
        # its class cuts the full stop off all sentences of a report but the last
        for form in (text.rstrip(" ."), text):
            if len(segments.medclip(form)) == 1:
                yield form, labels


def _labels_of(sentence: Sentence) -> Labels:
    """Return the labels of a sentence; No Finding where it says of nothing that it is there."""
    found = dict.fromkeys(CHEXPERT, 0)
    for mention in sentence.mentions:
        value = _VALUES[mention.assertion]
        if mention.label in found and not found[mention.label] > value:
            found[mention.label] = value
    there = any(found[name] for name in CHEXPERT if name not in (_NO_FINDING, _DEVICES))
    if there or sentence.status in ("abnormal", "uncertain"):
        return found | {_NO_FINDING: 0}
    return found | {_NO_FINDING: 1}


def prompt_labels() -> Iterator[tuple[str, Labels]]:
    """Yield (sentence, labels) of label prompts, so that its class has some for every label."""
    for name in CHEXPERT:
        for polarity, value in _POLARITIES.items():
            texts = prompts.texts(name, polarity)
            usable = [text for text in texts if len(segments.medclip(text)) == 1]
            labels = dict.fromkeys(CHEXPERT, 0) | {name: value}
            for text in usable[:_PROMPTS]:
                yield text, labels


def _commands(made: Tables) -> str:
    lines = [
        'ln -s "$PWD" MEDCLIP/local_data/cxr_vlp      # MEDCLIP: your checkout',
        f"cp {SENTENCES} MEDCLIP/local_data/{SENTENCES}",
    ]
    text = "\n".join(["```", *lines, "```"]) + "\n\nIn examples/run_medclip_pretrain.py:\n\n```\n"
    if "train-meta.csv" in made.rows:
        text += 'datalist = ["cxr_vlp/train"]\n'
    for split in ("valid", "test"):
        if f"{split}-meta.csv" in made.rows:
            text += (
                f'val_data = ZeroShotImageDataset(["cxr_vlp/{split}"], '
                "class_names=constants.CHEXPERT_COMPETITION_TASKS)\n"
            )
    return text + "```"


_NOTES = """
- `report` is findings and impression, or the text of --caption; it is blank for a sample of which
  MedCLIP keeps no sentence (five words and marks and more). Its class then draws a sentence that
  fits the labels. A sample for training with neither is left out.
- The other tables hold the samples that have labels, negative ones too: its class for tests reads
  no text.
- Labels: 1, -1 (uncertain), and 0 for negative and not mentioned, which its class does not tell
  apart.
- A sample may have several labels: evaluate with `mode="multilabel"`.
- `sentence-label.csv`: sentences of the train reports with the labels that they mention, and
  label prompts for each of the 14 labels. The checkout's own file of that name has 9 lines.
"""
