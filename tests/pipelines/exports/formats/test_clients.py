"""Clients on exports: what their libraries make of odd texts, many files and typed columns.

mosaicml-streaming cannot be installed beside this project. Its tests run another Python, which
$CXR_CLIENTS_PYTHON names: pip install mosaicml-streaming there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.exports.formats import flat, hugging_face, litdata, mds, nested

LABEL = st.sampled_from([None, 1, 0, -1])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("label", pa.int8()), ("age", pa.int16()),
     ("notes", pa.list_(pa.string()))]
)  # fmt: skip
ROW = st.fixed_dictionaries(
    {"id": st.sampled_from(["007", "1e3", "NA", "-1"]), "text": TEXT, "label": LABEL,
     "age": st.none() | st.integers(0, 120), "notes": st.lists(TEXT, max_size=2)}
)  # fmt: skip


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=4))
def test_csv_gives_back_any_text_and_tells_null_from_empty(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    flat._write_csv(path, SCHEMA, iter(rows))
    with path.open(newline="", encoding="utf-8") as stream:
        plain = list(csv.DictReader(stream))
    for row, read in zip(rows, plain, strict=True):
        assert (read["id"], read["text"]) == (row["id"], row["text"])
        assert read["label"] == ("" if row["label"] is None else str(row["label"]))
        assert json.loads(read["notes"]) == row["notes"]
    convert = pyarrow.csv.ConvertOptions(
        column_types=pa.schema([(f.name, f.type) for f in SCHEMA if f.name != "notes"]),
        strings_can_be_null=True, quoted_strings_can_be_null=False,
    )  # fmt: skip
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    typed = pyarrow.csv.read_csv(path, convert_options=convert, parse_options=parse).to_pylist()
    for row, read in zip(rows, typed, strict=True):
        for name in ("id", "text", "label", "age"):
            assert read[name] == row[name]


def test_the_lines_of_python_in_the_csv_readme_keep_zeros_and_labels(exported, truth, monkeypatch):
    pandas = pytest.importorskip("pandas")
    out = exported("--to", "csv")
    code = (out / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    names = {"pandas": pandas}
    monkeypatch.chdir(out)
    exec(code, names)
    frame, labels = names["frame"].set_index("key"), names["labels"]
    labels.index = frame.index
    for key, each in truth.items():
        assert frame.loc[key, "patient"] == each.document["patient"]
        assert frame.loc[key, "impression"] == each.document["impression"]
        value = labels.loc[key, "label_Edema"]
        assert (None if value != value else int(value)) == each.labels.get("Edema")


# ---- Hugging Face


def test_the_features_are_typed_and_the_readme_says_the_same(exported, truth):
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(exported("--to", "hf")), streaming=True)["train"]
    sentence = found.features["sentences"].feature
    numbers = sentence["mentions"].feature["sizes_mm"]
    assert numbers == datasets.List(datasets.Value("float64"))
    assert nested.yaml_features() == datasets.Features.from_dict(nested.features())._to_yaml_list()
    row = next(row for row in found if row["sentences"])
    image = row["image"]
    expected = truth[row["key"]].document
    assert image.size == (expected["pixels"]["width"], expected["pixels"]["height"])
    assert [s["text"] for s in row["sentences"]] == [s["text"] for s in expected["sentences"]]
    assert row["sentences"][0]["mentions"] == expected["sentences"][0]["mentions"]
    assert row["image_id"] == expected["image"]


def test_the_readme_counts_so_that_a_cut_export_is_noticed(exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    import shutil

    out = shutil.copytree(exported("--to", "hf"), tmp_path / "cut")
    path = out / "data/train-00000.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))


def test_a_large_split_becomes_several_files(sets, run, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(hugging_face, "FILE", 30_000)
    monkeypatch.setattr(hugging_face, "GROUP", 2)
    out = run(sets, tmp_path / "o", "--to", "hf")
    files = sorted((out / "data").glob("train-*.parquet"))
    assert len(files) > 2
    keys = [key for path in files for key in pq.read_table(path).column("key").to_pylist()]
    assert sorted(keys) == sorted(key for key, each in truth.items() if each.split == "train")
    for path in files:
        images = pq.read_table(path).column("image").to_pylist()
        assert sum(len(x["bytes"]) for x in images) <= 30_000 or len(images) == 1


# ---- litdata, MDS, wids


def test_litdata_does_not_encode_again(tmp_path):
    import numpy as np
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    stream = io.BytesIO()
    noise.save(stream, "JPEG", quality=100)  # litdata would store it at 95
    for image in (stream.getvalue(), _png(noise)):
        item = litdata.Item({"key": "k", "split": "train"}, {}, "caption", image, b"{}")
        folder = tmp_path / hashlib.sha256(image).hexdigest()[:8]
        litdata._write(folder, iter([item]))
        assert image in (folder / "chunk-0-0.bin").read_bytes()


def _png(image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_litdata_is_missing(sets, run, tmp_path, monkeypatch):
    from cxr_vlp.pipelines.errors import ConfigError

    monkeypatch.setitem(sys.modules, "litdata.streaming.writer", None)
    with pytest.raises(ConfigError, match=r'pip install "cxr-vlp\[share\]"'):
        run(sets, tmp_path / "o", "--to", "litdata")


def test_the_lines_of_python_in_the_wids_readme_copy_nothing(
    exported, truth, monkeypatch, tmp_path
):
    out = exported("--to", "wids")
    code = (out / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.setenv("WIDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(out)
    before = sorted(out.rglob("*"))
    names: dict = {}
    exec(code, names)
    for row in names["data"]:
        each = truth[row["__key__"]]
        size = each.document["pixels"]
        image = row.get(".jpg") or row[".png"]
        assert image.size == (size["width"], size["height"])
        assert (row[".txt"], row[".json"]["labels"]) == (each.caption, each.labels)
    assert sorted(out.rglob("*")) == before
    assert not (tmp_path / "cache").exists()


def test_mds_shards_keep_to_their_limit(monkeypatch):
    samples = [bytes([number]) * 300 for number in range(20)]
    monkeypatch.setattr(mds, "SHARD", 1500)
    parts = list(mds._parts(iter(samples)))
    assert [sample for part in parts for sample in part] == samples
    assert len(parts) > 4
    assert all(len(mds._shard(part)) <= 1500 for part in parts)
    assert list(mds._parts(iter([bytes(9000)]))) == [[bytes(9000)]]


READ_MDS = """
import json, sys
from hashlib import sha256
from streaming import StreamingDataset
from streaming.base.format.mds.encodings import mds_encode
for split in ("train", "validate", "test"):
    for row in StreamingDataset(local=sys.argv[1], split=split, batch_size=1, shuffle=False):
        row["image"].load()
        facts = [row["key"], split, row["caption"], row["json"]["labels"], row["image"].size]
        print(json.dumps(facts))
"""


@pytest.mark.slow
def test_mosaicml_streaming_reads_every_sample(exported, truth, tmp_path):
    python = os.environ.get("CXR_CLIENTS_PYTHON")
    if not python:
        pytest.skip("set CXR_CLIENTS_PYTHON to a Python with mosaicml-streaming")
    out = exported("--to", "mds")
    done = subprocess.run(
        [python, "-c", READ_MDS, str(out)],
        capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "PYTHONPATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(rows) == len(truth)
    for key, split, caption, labels, size in rows:
        each = truth[key]
        pixels = each.document["pixels"]
        assert (split, caption, labels) == (each.split, each.caption, each.labels)
        assert size == [pixels["width"], pixels["height"]]


@pytest.mark.slow
def test_mds_shards_are_those_of_the_librarys_own_writer(exported, tmp_path):
    python = os.environ.get("CXR_CLIENTS_PYTHON")
    if not python:
        pytest.skip("set CXR_CLIENTS_PYTHON to a Python with mosaicml-streaming")
    code = """
import sys
from streaming import MDSWriter
from streaming.base.format.mds import writer
from streaming.base.format.mds.reader import MDSReader
import json, pathlib
raw = lambda encoding, value: value  # the columns are encoded already
writer.mds_encode = raw
folder = pathlib.Path(sys.argv[1])
index = json.loads((folder / "index.json").read_bytes())
shard = index["shards"][0]
columns = dict(zip(shard["column_names"], shard["column_encodings"]))
reader = MDSReader.from_json(str(folder), None, shard)
import numpy as np
with MDSWriter(columns=columns, out=sys.argv[2]) as out:
    for number in range(shard["samples"]):
        data = reader.get_sample_data(number)
        n = len(columns)
        sizes, rest, row = np.frombuffer(data[:4 * n], np.uint32), data[4 * n:], {}
        for name, size in zip(shard["column_names"], sizes):
            row[name], rest = rest[:size], rest[size:]
        out.write(row)
"""
    out = exported("--to", "mds") / "train"
    done = subprocess.run(
        [python, "-c", code, str(out), str(tmp_path / "theirs")],
        capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "PYTHONPATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("shard.00000.mds", "index.json"):
        assert (tmp_path / "theirs" / name).read_bytes() == (out / name).read_bytes()
