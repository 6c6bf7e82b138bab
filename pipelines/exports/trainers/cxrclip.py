"""For CXR-CLIP: CSV files with a row a study, and the hydra configurations that name them.

Its dataset class takes texts from one of two columns, never from both, so studies with a report and
studies with labels alone are in separate files. It opens the paths of a table as they are, from its
own folder: the paths here hold where a link to the export is `datasets/cxr_vlp` of its checkout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables

LINK = "datasets/cxr_vlp"
CHECKED = "github.com/kakaobrain/cxr-clip, revision 955ab93"
SECTIONS = ("findings", "impression")
_KINDS = {"text": "reports", "text_label": "labels"}  # the file of each column of words
# the names of train_prompts_all.json; only those of CheXpert have texts of uncertainty there, and
# No Finding has an empty text unless it is positive
RENAMED = {"Pleural Thickening": "Pleural_Thickening"}
_NIH = ("Emphysema", "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule", "Pleural Thickening")
_NAMED = (*CHEXPERT, *_NIH)
_UNCERTAIN = [name for name in CHEXPERT if name != "No Finding"]
_DENIED = [name for name in _NAMED if name != "No Finding"]
# Its class reads the column that a view is called by, whatever the name.
VIEWS = ("AP", "PA", "Lateral", "Frontal", "Other")
_CONFIG = """\
cxr_vlp_{kind}:
  name: "{name}"
  data_type: "{form}"
  data_path: "{link}/{kind}_{split}.csv"
"""
# interpolations of hydra, which its own configurations have too
_TRAINING = """\
  image_size: ${base.image_size}
  text_max_length: ${base.text_max_length}
"""


class CxrClip:
    """Writes reports_SPLIT.csv, labels_SPLIT.csv and configs/."""

    about = "CXR-CLIP: a row a study with all its views, findings and impression as two texts"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        with tables.writing(request.out) as made:
            for split in ("train", "validate"):
                for study in items.studies(request, split):
                    _add_study(made, writer, request, study)
            for item in items.of(request, "test"):
                _add_test(made, writer, request, item)
        _configure(request, made)
        return writer.result


def _add_study(made: Tables, writer: Writer, request: Request, study: Sequence[Item]) -> None:
    """Add a row with the texts of a study, or with its labels if it has no text.

    Images of a study that have other texts or labels, such as those of --caption prompt, get a row
    of their own.
    """
    rows: dict[tuple[str, str], list[Item]] = {}
    for item in study:
        rows.setdefault(_words_of(item, request), []).append(item)
    for (column, words), group in rows.items():
        if column:
            row = _images(writer, group) | {column: words}
            made.add(f"{_KINDS[column]}_{study[0].split}.csv", row)
        else:
            writer.leave_out(items.NO_TEXT, len(group))


def _words_of(item: Item, request: Request) -> tuple[str, str]:
    """Return the column of the words that belong to an image, and the words; "" for none."""
    if texts := texts_of(item, request):
        return "text", repr(texts)
    labels = triple(item)
    return ("text_label", repr(labels)) if any(labels) else ("", "")


def _add_test(made: Tables, writer: Writer, request: Request, item: Item) -> None:
    """Add a frontal image with one text, as its authors test retrieval: the longest section."""
    text = max(texts_of(item, request), key=len, default="")
    if item.sample.view != "frontal":
        writer.leave_out(items.WRONG_VIEW)
    elif not text:
        writer.leave_out(items.NO_TEXT)
    else:
        made.add("reports_test.csv", {"image": f"{LINK}/{writer.add(item)}", "text": text})


def texts_of(item: Item, request: Request) -> list[str]:
    """Return the texts of a study: its sections, or the one that --caption names."""
    names = items.fields(request, ())
    found = [item.text(names)] if names else [item.text([name]) for name in SECTIONS]
    return [text for text in found if text]


def triple(item: Item) -> list[list[str]]:
    """Return [positive, negative, uncertain] labels, those that its prompts have words for."""
    named = (item.labels(1, _NAMED), item.labels(0, _DENIED), item.labels(-1, _UNCERTAIN))
    return [[RENAMED.get(name, name) for name in names] for names in named]


def view_of(item: Item) -> str:
    """Return the column of an image: its projection if that is AP or PA, else its view."""
    sample = item.sample
    if sample.view == "frontal":
        return sample.projection if sample.projection in ("AP", "PA") else "Frontal"
    return "Lateral" if sample.view == "lateral" else "Other"


def _images(writer: Writer, group: Sequence[Item]) -> dict[str, Any]:
    """Write the images of a row, frontal ones first; return its columns of paths."""
    ordered = sorted(group, key=lambda item: VIEWS.index(view_of(item)) in (2, 4))
    paths = [(view_of(item), f"{LINK}/{writer.add(item)}") for item in ordered]
    views = list(dict.fromkeys(view for view, _ in paths))
    return {"image": repr([path for _, path in paths]), "view": repr(views)} | {
        column: repr([path for view, path in paths if view == column]) for column in VIEWS
    }


def _configure(request: Request, made: Tables) -> None:
    found = [name.removesuffix(".csv").split("_") for name in sorted(made.rows)]
    for kind, split in found:
        # "chexpert": its class takes triples of labels for this name; its evaluation scores
        # retrieval for "mimic_cxr", whatever the collection is
        called = {"labels": "chexpert"}.get(kind, "mimic_cxr")
        form = "imagetext_eval" if split == "test" else "imagetext"
        text = _CONFIG.format(kind=kind, name=called, form=form, link=LINK, split=split)
        text += "" if split == "test" else _TRAINING
        text += "  prompt_from_json: true\n" if kind == "labels" else ""
        path = request.out / "configs" / f"data_{split}" / f"cxr_vlp_{kind}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    kinds = {split: [k for k, of in found if of == split] for _, split in found}
    tables.page(request.out, "CXR-CLIP", CHECKED, [_commands(kinds), _NOTES], made)


def _commands(kinds: Mapping[str, Sequence[str]]) -> str:
    """Return the command lines for the splits that there are; `kinds` by split."""
    named = {split: ",".join(f"cxr_vlp_{kind}" for kind in kinds[split]) for split in kinds}
    groups = {split: f"'data_{split}=[{names}]'" for split, names in named.items()}
    lines = [f'ln -s "$PWD" CXR_CLIP/{LINK}      # CXR_CLIP: your checkout', "cd CXR_CLIP"]
    config = f"--config-dir {LINK}/configs"
    if "train" in groups:
        chosen = " ".join(groups[split] for split in ("train", "valid") if split in groups)
        lines.append(f"python train.py {config} {chosen}")
    if "test" in groups:
        lines.append(
            f"python evaluate_clip.py {config} {groups['test']} test.checkpoint=model-best.tar"
        )
    return "\n".join(["```", *lines, "```"])


_NOTES = """
- `reports_SPLIT.csv`: `text` is the list of findings and impression, those that have text, or the
  one text of --caption. `view` lists the columns that hold the paths of a study's images.
- `labels_SPLIT.csv`: studies without text. `text_label` is [positive, negative, uncertain], of
  the labels that train_prompts_all.json has words for (CheXpert's 14 and 7 of ChestX-ray14;
  uncertain ones of CheXpert's only). Other labels are not in the file.
- `reports_test.csv`: a row a frontal image, with its longest section: the evaluation scores
  retrieval.
- There is no `text_augment`: its class then uses each text as it is. `text_augmentation/` of the
  checkout makes one.
- Its class splits sentences with nltk: `python -m nltk.downloader punkt punkt_tab` once.
"""
