"""The recipes at their published size: towers, losses and precision, from random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from cxr_vlp.train import evaluate, fit
from cxr_vlp.train.config import recipe
from cxr_vlp.train.model import build

METHODS = sorted(name for name in recipe.names() if f"{name}_tiny" in recipe.names())
HUGGING_FACE = {"cxrclip", "carzero", "offclip"}
# Weights cannot be fetched in a test, and of a batch a few pairs are enough.
CHANGES = """
base: {method}
model: {{pretrained: "", image: "", text: "{text}", text_weights: false}}
run: {{batch_size: 4, chunk: {chunk}, steps: 2, validate_every: 2, shuffle: 4}}
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)  # one precision a process
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def written(method: str, bert: str) -> Path:
    text = bert if method in HUGGING_FACE else ""
    chunk = 2 if recipe.load(method).run.chunk else 0
    path = Path("here.yaml")
    path.write_text(CHANGES.format(method=method, text=text, chunk=chunk))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_published_recipe_trains_and_is_scored(method, source, bert):
    path = written(method, bert)
    assert fit.main([str(path), "--shards", str(source), "--out", "model"]) == 0
    assert evaluate.main(["--model", "model", "--shards", str(source), "--out", "found"]) == 0
    assert json.loads(Path("found/metrics.json").read_text())["images"] == 24


@pytest.mark.parametrize("method", METHODS)
def test_the_towers_of_a_published_recipe_have_the_published_widths(method, bert):
    """Widths and context as methods' papers and codes give them; the text tower is a small BERT."""
    chosen = recipe.load(written(method, bert))
    encoder = build.build(chosen.model, seed=0)
    tokens = encoder.tokenize("no edema")
    shape = {"cxrclip": (256, 512), "carzero": (97, 768), "offclip": (97, 768)}
    context, width = shape.get(method, (77, 512))
    assert tokens.shape == (context,)
    assert encoder.model.encode_text(tokens[None]).shape == (1, width)
    assert encoder.size == 224
