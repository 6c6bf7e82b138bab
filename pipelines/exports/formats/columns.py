"""The rows of a flat table: a sample's facts, texts and labels as columns of simple types.

A label has a column of its own: 1 positive, 0 negative, -1 uncertain, null where it is not
mentioned. "" is a text that the sample does not have. `image` of the JSON member is `image_id`
here, because readers expect the picture under `image`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.exports.formats.items import Item

TEXTS = ("findings", "impression", "abnormal", "prior_free", "prompt")
_SAYS = {
    "caption": "the text of the sample, of --caption; never empty",
    "findings": "the whole section",
    "impression": "the whole section",
    "abnormal": "the report without its normal sentences",
    "prior_free": "the report without what only an earlier image can tell",
    "prompt": "the first label prompt text",
}
_KEY, _TAR = ("key", "split"), ("shard", "offset", "bytes")
_FACTS = (
    "dataset", "patient", "study", "image", "view", "projection", "sex", "age", "study_order",
    "height", "width", "source_height", "source_width", "notes", "labels_from",
)  # fmt: skip
_ORIGIN = ("image_sha256", "report_sha256")
_KINDS = {name: kind for name, kind, _ in sample_table.COLUMNS}
_MEANINGS = {name: says for name, _, says in sample_table.COLUMNS}
_LABELS = tuple(name for name in _KINDS if name.startswith(sample_table.LABEL))
IMAGE_ID = "image_id"


def schema(*, images: bool, embed: bool = False) -> pa.Schema:
    """Return the columns of a flat table with image files, with images in it, or with neither."""
    fields = [(name, _KINDS[name]) for name in _KEY]
    if embed:
        fields.append(("image", pa.binary()))
    elif images:
        fields.append(("image_path", pa.string()))
    else:
        fields += [("tar", pa.string()), ("offset", pa.int64()), ("bytes", pa.int64())]
    fields += [(name, pa.string()) for name in ("caption", *TEXTS)]
    facts = (*_FACTS, *_LABELS, "labels_other", *_ORIGIN)
    return pa.schema([*fields, *((_renamed(name), _KINDS[name]) for name in facts)])


def row(item: Item) -> dict[str, Any]:
    """Return the columns of a sample, without those that say where its image is."""
    stored = {_renamed(name): item.row[name] for name in (*_FACTS, *_LABELS, *_ORIGIN)}
    texts = {name: item.document[name] for name in TEXTS}
    own = {"key": item.key, "split": item.split, "caption": item.caption}
    return own | texts | stored | {"labels_other": item.row["labels_other"]}


def meaning(name: str) -> str:
    """Return what a column says."""
    own = {
        "image_path": "file of the image in this folder",
        "file_name": "file of the image in the folder of the split",
        "text": _SAYS["caption"],
        "image": "bytes of the image file",
        "tar": "file of the tar below the folder of the sets",
        IMAGE_ID: _MEANINGS["image"],
    }
    return own.get(name) or _SAYS.get(name) or _MEANINGS[name]


def markdown(columns: pa.Schema) -> str:
    """Return the columns as a table of Markdown, the labels in one line."""
    lines = ["| column | type | |", "|---|---|---|"]
    for each in columns:
        if each.name not in _LABELS:
            lines.append(f"| `{each.name}` | {each.type} | {meaning(each.name)} |")
        elif each.name == _LABELS[0]:
            lines.append(f"| `label_<name>` | {each.type} | {meaning(each.name)} |")
    return "\n".join(lines)


def _renamed(name: str) -> str:
    return IMAGE_ID if name == "image" else name
