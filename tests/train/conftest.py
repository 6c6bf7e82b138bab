"""Shards for the tests of this room, written by tarfile in the shard format.

Contents: `draw` (an image whose findings a small model can learn), `sample`, `write_shard`,
`write_source` (a folder with its three splits), the fixtures `source`, `tiny_recipe`, `bert`, and
`seeing`, a model that knows what `draw` drew and what a text says of it.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.pipelines.format.versions import FORMAT

FINDINGS = ("Cardiomegaly", "Pleural Effusion", "Pneumothorax")
PLACES = {"Cardiomegaly": (20, 20), "Pleural Effusion": (44, 8), "Pneumothorax": (4, 40)}


def draw(present: Sequence[str], seed: int, height: int = 72, width: int = 64) -> np.ndarray:
    """Return noise with a bright square per finding, each at its own place."""
    rng = np.random.default_rng(seed)
    image = rng.integers(40, 90, (height, width), dtype=np.uint8)
    for name in present:
        y, x = PLACES[name]
        image[y : y + 18, x : x + 18] = 230
    return image


def sample(source: str, number: int, **changes: Any) -> dict[str, Any]:
    """Return the JSON record of one synthetic sample."""
    present = [name for i, name in enumerate(FINDINGS) if (number >> i) & 1]
    impression = ", ".join(name.lower() for name in present) + "." if present else "clear lungs."
    labels = {name: int(name in present) for name in FINDINGS} | {"No Finding": int(not present)}
    record = {
        "format": FORMAT,
        "caption": impression,
        "findings": f"the film shows {impression}",
        "impression": impression,
        "abnormal": impression if present else "",
        "prompt": "one prompt.",
        "prompts": ["prompt one.", "prompt two.", "prompt three."],
        "dataset": source,
        "patient": f"p{number // 2:04d}",
        "study": f"s{number:04d}",
        "image": "a",
        "split": "train",
        "view": "lateral" if number % 4 == 3 else "frontal",
        "labels": labels,
        "sentences": [
            {"text": f"sentence {i}.", "status": "nonfinding" if i == 2 else "normal"}
            for i in range(5)
        ],
    }
    return record | changes


def read(record: Mapping[str, Any]) -> Sample:
    """Return a record, which may hold only some fields, as the loader reads it."""
    return Sample.from_dict({"format": FORMAT} | record)


def write_shard(path: Path, records: Mapping[str, dict[str, Any]], suffix: str = "jpg") -> None:
    """Write a tar of samples: image, json, txt, adjacent, in the order of the keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, record in sorted(records.items()):
            present = [name for name in FINDINGS if record["labels"].get(name) == 1]
            image = cv2.imencode(f".{suffix}", draw(present, int(key[-4:])))[1].tobytes()
            add(tar, f"{key}.{suffix}", image)
            add(tar, f"{key}.json", json.dumps(record, sort_keys=True).encode())
            add(tar, f"{key}.txt", record["caption"].encode())


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Put one member into a tar, without owner, time or mode of this machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o444
    tar.addfile(info, io.BytesIO(data))


def write_source(root: Path, source: str, sizes: Mapping[str, Sequence[int]]) -> Path:
    """Write a source's folder: per split, shards of the given numbers of samples."""
    number = 0
    for split, counts in sizes.items():
        written = {}
        for place, count in enumerate(counts):
            records = {}
            for _ in range(count):
                records[f"{source}-s{number:04d}"] = sample(source, number, split=split)
                number += 1
            name = f"{source}-{split}-{place:05d}.tar"
            write_shard(root / source / split / name, records)
            written[name] = count
        (root / source / split / "sizes.json").write_text(json.dumps(written))
    return root / source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of 48 + 16 + 24 samples in 3 + 1 + 2 shards."""
    root = tmp_path_factory.mktemp("shards")
    return write_source(root, "mock", {"train": (20, 16, 12), "validate": (16,), "test": (12, 12)})


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of a few steps on the smallest towers."""
    path = tmp_path_factory.mktemp("recipes") / "trial.yaml"
    path.write_text(
        "base: chexzero_tiny\n"
        "run: {batch_size: 8, steps: 6, validate_every: 2, shuffle: 16}\n"
        "optim: {warmup: 2}\n"
    )
    return path


@pytest.fixture
def bert(tmp_path) -> str:
    """A folder with a tiny BERT's configuration and vocabulary, without weights."""
    pytest.importorskip("transformers", reason="the text tower under test is Hugging Face's")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "edema", "effusion", "small"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = {
        "model_type": "bert", "vocab_size": len(words), "hidden_size": 32, "pad_token_id": 0,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": 512,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return str(tmp_path)


class Seeing:
    """A model that sees which squares `draw` drew, and reads which findings a text names.

    An image is +1 for a square that is there and -1 for one that is not; a text is +1 for a finding
    that it names and -1 for one that it denies ("no"), or for all that it does not name if it is
    `whole`. `blind`: it does not see "no". `constant`: it says the same of everything.
    """

    name, digest, facts = "seeing", "0" * 64, {"kind": "test"}
    size, scale, fused, finer = 72, 1.0, False, False

    def __init__(self, *, whole: bool = False, blind: bool = False, constant: bool = False) -> None:
        import torch

        from cxr_vlp.train.config.recipe import ImageConfig

        self.whole, self.blind, self.constant = whole, blind, constant
        self.image, self.device = ImageConfig(), torch.device("cpu")

    def encode_images(self, images: Any, *, patches: bool = False) -> Any:
        """Return (B, 3) of -1 and 1, L2-normalised: `draw` gives 64 x 72, padded to 72 x 72."""
        found = [
            images[:, 0, y + 4 : y + 14, x + 8 : x + 18].float().mean(dim=(1, 2)) > 160
            for y, x in PLACES.values()
        ]
        return self._tokens([list(each) for each in zip(*found, strict=True)], -1)

    def encode_texts(self, texts: Sequence[str]) -> Any:
        """Return (T, 3) of -1, 0 and 1, L2-normalised."""
        rows = []
        for text in texts:
            says = -1 if re.search(r"\b(no|negative)\b", text.lower()) and not self.blind else 1
            named = [name.lower() in text.lower() for name in FINDINGS]
            rows.append([says if each else 0 for each in named])
        return self._tokens(rows, -1 if self.whole else 0)

    def similarity(self, images: Any, texts: Any) -> Any:
        """Return the cosines (B, T)."""
        return images.whole @ texts.whole.T

    def _tokens(self, rows: Sequence[Sequence[Any]], unsaid: int) -> Any:
        import torch

        from cxr_vlp.train.model.fusion import Tokens

        rows = [[float(v) or unsaid for v in row] for row in rows]
        whole = torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float), dim=1)
        whole = torch.ones_like(whole) if self.constant else whole
        return Tokens(whole, whole[:, :0, None], torch.ones(len(whole), 0, dtype=torch.bool))


@pytest.fixture
def seeing() -> type[Seeing]:
    """A model that knows what `draw` drew and what a text says of it."""
    return Seeing


@pytest.fixture
def write() -> Callable[..., Path]:
    """A function that writes a source of eight samples in one test shard; `changes` by number."""

    def written(root: Path, source: str, changes: Callable[[int], Any], first: int = 0) -> Path:
        records = {
            f"{source}-s{number:04d}": sample(source, number, split="test", **changes(number))
            for number in range(first, first + 8)
        }
        write_shard(root / source / "test" / f"{source}-test-00000.tar", records)
        (root / source / "test" / "sizes.json").write_text(
            json.dumps({f"{source}-test-00000.tar": len(records)})
        )
        return root / source

    return written
