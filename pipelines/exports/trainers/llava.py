"""For LLaVA-Rad: a JSON list of conversations for each split, and a folder of images.

Its loaders `mimic_train_findings` and `mimic_test_findings` take samples whose view is AP or PA and
whose answer is text, and write the question themselves from `reason`. Other LLaVA trainers read the
same lists with their default loader; so the question here is the one that its loader would write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, tables
from cxr_vlp.pipelines.exports.trainers.items import Item, Writer
from cxr_vlp.pipelines.files import jsonl

CHECKED = "github.com/microsoft/LLaVA-Rad, revision 1fc4409"
PROJECTIONS = ("AP", "PA")
REASONS = ("indication", "history")
IMAGES = "images/"  # --image_folder
_ASKED = "<image>\nProvide a description of the findings in the radiology image"
_METHOD = "rule-based"  # of the sections; its test loader takes no others


class Llava:
    """Writes chat_train.json, chat_valid.json and chat_test.json."""

    about = "LLaVA-Rad (and LLaVA): frontal images, the indication asks, the findings answer"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        names = items.fields(request, ("findings",))
        with tables.writing(request.out) as made:
            for split, name in items.SPLIT_NAMES.items():
                rows = list(_rows(request, writer, split, names))
                if rows:
                    jsonl.write_json(request.out / f"chat_{name}.json", rows)
                    made.rows[f"chat_{name}.json"] = len(rows)
        tables.page(request.out, "LLaVA-Rad", CHECKED, [_commands(made.rows), _NOTES], made)
        return writer.result


def _rows(
    request: Request, writer: Writer, split: str, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for item in items.of(request, split):
        answer = item.text(names)
        if item.sample.view != "frontal" or item.sample.projection not in PROJECTIONS:
            writer.leave_out(items.WRONG_VIEW)
        elif not answer:
            writer.leave_out(items.NO_TEXT)
        else:
            yield conversation(item, answer, writer.add(item).removeprefix(IMAGES))


def conversation(item: Item, answer: str, path: str) -> dict[str, Any]:
    """Return the entry of a sample; `path` is that of its image below the folder of images."""
    found = (items.said(item.sample.sections.get(name, "")) for name in REASONS)
    reason = next(filter(None, found), None)
    question = f"{_ASKED} given the following indication: {reason}" if reason else f"{_ASKED}."
    return {
        "id": item.key,
        "image": path,
        "view": item.sample.projection,
        "reason": reason,
        "generate_method": _METHOD,
        "conversations": [
            {"from": "human", "value": question},
            {"from": "gpt", "value": answer},
        ],
    }


def _commands(files: Collection[str]) -> str:
    lines = [
        "# in scripts/pretrain.sh and scripts/finetune_lora.sh; EXPORT: the path of this folder"
    ]
    if "chat_train.json" in files:
        lines += ["data_path=$EXPORT/chat_train.json", "loader=mimic_train_findings"]
        lines += ["image_folder=$EXPORT/images"]
    if "chat_test.json" in files:
        lines += ["# in scripts/eval.sh", "query_file=$EXPORT/chat_test.json"]
        lines += ["loader=mimic_test_findings", "image_folder=$EXPORT/images"]
    return "\n".join(["```", *lines, "```"])


_NOTES = """
- The answer is the findings, or the text of --caption: `--caption prior_free` gives reports
  without what only an earlier image can tell. Samples without it are left out.
- Its loaders read frontal images whose projection is AP or PA; others are left out.
- `reason` is the indication, else the history, else null.
"""
