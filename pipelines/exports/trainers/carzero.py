"""For CARZero: its table of paths and texts, and files for its zero-shot evaluation.

The folder stands for `Dataset` of its checkout, and the paths in its tables begin there. Its class
makes `MIMIC/captions_XH.pickle` at the first run and reads it from then on.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from cxr_vlp.nlp.wording import prompts
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, segments, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, COMPETITION, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables
from cxr_vlp.pipelines.files import jsonl

LINK = "Dataset"
CHECKED = "github.com/laihaoran/CARZero, revision fa4e09c"
# names of files that its code has
MASTER = "MIMIC/mimic-cxr-label-LLM_report-xinhuo-chexpertformat.csv"
NOISE = "MIMIC/cxr_report_noise_sample.pickle"
TEST_IMAGES = "Chexpert/chexpert5_test_image.csv"
TEST_TEXTS = "Chexpert/chexpert5_test_text.json"
TEST_LABELS = "Chexpert/test_labels.csv"
_TEXTS = ("impression", "findings")


class CarZero:
    """Writes MIMIC/ (training) and Chexpert/ (evaluation) with the names that its code has."""

    about = "CARZero: frontal images with their impression and statements, zero-shot labels"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        names = items.fields(request, _TEXTS)
        with tables.writing(request.out) as made:
            for item in items.of(request):
                code = _add(made, writer, item, names)
                if code:
                    writer.leave_out(code)
        if MASTER in made.rows:
            # samples that its authors excluded; its class opens the file whatever it holds
            (request.out / NOISE).write_bytes(pickle.dumps([], protocol=2))
        if TEST_IMAGES in made.rows:
            texts = {name: list(prompts.zero_shot(name, "direct")[0]) for name in COMPETITION}
            jsonl.write_json(request.out / TEST_TEXTS, texts)
        tables.page(request.out, "CARZero", CHECKED, [_commands(made), _NOTES], made)
        return writer.result


def _add(made: Tables, writer: Writer, item: Item, names: Sequence[str]) -> str:
    """Add a sample to the tables that can use it; return the code of one that none can."""
    if item.sample.view != "frontal":
        return items.WRONG_VIEW
    text, statements = texts_of(item, names)
    kept = segments.gloria(text + statements)
    tested = item.split == "test" and any(name in item.sample.labels for name in COMPETITION)
    if not kept and not tested:
        return items.SHORT_TEXT if text else items.NO_TEXT
    path = f"{LINK}/{writer.add(item)}"
    if kept:
        row = {"Path": path, "Split": item.split, "Frontal/Lateral": "Frontal"}
        row |= {"Report Impression": text, "xinhuo": statements}
        made.add(MASTER, row | {name: item.label(name) for name in CHEXPERT})
    if tested:
        made.add(TEST_IMAGES, {"Path": path})
        # its evaluation takes 0 and 1: what is uncertain or not mentioned counts as absent
        labels = {name: int(item.sample.labels.get(name) == 1) for name in COMPETITION}
        made.add(TEST_LABELS, {"Path": path} | labels)
    return ""


def texts_of(item: Item, names: Sequence[str]) -> tuple[str, str]:
    """Return the text of a sample and its statements, which its class joins without a blank."""
    text, statements = item.text(names), items.said(" ".join(item.sample.statements))
    if text and statements and not text.endswith("."):
        text += "."
    return text, statements


def _commands(made: Tables) -> str:
    lines = [f'ln -s "$PWD" CARZERO/{LINK}      # CARZERO: your checkout', "cd CARZERO"]
    if MASTER in made.rows:
        lines.append(
            "python run.py -c configs/mimic_pretrain_llm_dqn_wo_self_atten_mlp_gl.yaml --train"
        )
    if TEST_IMAGES in made.rows:
        lines += [
            "python - <<'END'",
            "from inference import obtain_simr, triple_Chexpert5_result",
            f'found = obtain_simr("{LINK}/{TEST_IMAGES}", "{LINK}/{TEST_TEXTS}")',
            'found.to_csv("similarities.csv", index=False)',
            f'triple_Chexpert5_result("similarities.csv", "{LINK}/{TEST_LABELS}")',
            "END",
        ]
    return "\n".join(["```", *lines, "```"])


_NOTES = f"""
- `{MASTER}` is what the configurations with `data.dataset: pretrain_xh` read. `xinhuo` holds our
  statements, sentences such as "There is a small left pleural effusion.", where its authors had a
  language model write them.
- `{NOISE}` is an empty list: no sample is excluded.
- Delete `MIMIC/captions_XH.pickle`, which its class makes, whenever the table is another one.
- `{TEST_LABELS}`: 1 is positive; negative, uncertain and not mentioned are 0.
"""
