"""Counts what the published recipes need at their own size: memory and hours on a GPU, not run.

    python benchmarks/paper_scale.py [--recipes cxrclip ...] [--pairs 2]

One forward and backward pass of each recipe runs on the CPU, with random weights, under bfloat16 as
on a GPU, for three small batches (1, 2 and 3 times `--pairs`). Counted are the operations (without
those of attention's own products, a few percent, which torch counts only on a GPU) and the bytes
kept for the backward pass. Both are a parabola in the batch size, because a fusion compares each
image with each text, so three sizes give any other. Memory is these bytes and, in float32, weights,
gradients and the moments of the optimiser.

Hours are those of an A100 that computes as many operations a second as those of open_clip's own
trainings did (docs/PRETRAINED.md of mlfoundations/open_clip): on LAION-400M, 32 epochs, a ViT-B/32
took 4,600 A100-hours and a ViT-B/16 took 10,700, with loading, validation and communication. Their
operations are counted here in the same way; the slower one of the two rates is used. It is about an
eighth of the card's peak. Batches of 32 to 128 pairs on one card can be slower still.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

import timing  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from cxr_vlp.train.config.recipe import Recipe, load  # noqa: E402
from cxr_vlp.train.data.batches import to_input  # noqa: E402
from cxr_vlp.train.model import build  # noqa: E402
from cxr_vlp.train.objective.method import Method, loss_inputs  # noqa: E402
from cxr_vlp.train.objective.terms import total  # noqa: E402

GB = 1e9
SEEN = 12.8e9  # pairs that each of open_clip's trainings on LAION-400M saw: 32 epochs
TRAININGS = {"ViT-B-32": 4_600, "ViT-B-16": 10_700}  # A100-hours, published
# Bio_ClinicalBERT's size, which is BERT base's; its words do not matter here
BERT = {
    "model_type": "bert", "vocab_size": 28_996, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
    "pad_token_id": 0,
}  # fmt: skip
HUGGING_FACE = ("cxrclip", "carzero", "offclip")
# Pairs an epoch: MIMIC-CXR's studies or frontal images, NIH's images; else MIMIC-CXR's images. All
# splits together, which is a few percent too many.
PAIRS = {"cxrclip": 227_827, "carzero": 243_334, "offclip": 243_334, "mococlip": 112_120}
IMAGES = 377_110
TOKENS = {"cxrclip": 128}  # of 256: a long section; the others their whole context
RECIPES = ("chexzero", "sentence_relax", "cxrclip", "mococlip", "carzero", "offclip", "best")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step: operations, bytes kept for the backward pass, and bytes of all states."""

    operations: float
    kept: float
    states: float


def main() -> int:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=RECIPES, metavar="NAME")
    parser.add_argument("--pairs", type=int, default=2, metavar="N")
    flags = parser.parse_args()
    rows = []
    rates = {name: rate(name, hours) for name, hours in TRAININGS.items()}
    with tempfile.TemporaryDirectory() as folder:
        bert = _bert(Path(folder))
        for name in flags.recipes:
            changes: dict[str, Any] = {"pretrained": "", "image": "", "text_weights": False}
            if name in HUGGING_FACE:
                changes["text"] = bert
            recipe = load(name, {"model": changes})
            rows.append(row(name, recipe, flags.pairs, min(rates.values())))
    show(rows, rates)
    timing.RESULTS.mkdir(exist_ok=True)
    content = {"machine": timing.machine(), "operations_a_second": rates, "rows": rows}
    (timing.RESULTS / "paper_scale.json").write_text(json.dumps(content, indent=1) + "\n")
    return 0


def rate(name: str, hours: float) -> float:
    """Return the operations a second of an A100 in a published training of an open_clip model."""
    pairs = 2
    recipe = load("base", {"model": {"name": name}, "loss": {"weights": {"clip": 1.0}}})
    return step(recipe, pairs, 0).operations / pairs * SEEN / (hours * 3600)


def row(name: str, recipe: Recipe, least: int, speed: float) -> dict[str, Any]:
    """Return what a recipe needs at its batch size, at `speed` operations a second."""
    sizes = [least, 2 * least, 3 * least]
    costs = [step(recipe, pairs, TOKENS.get(name, 0)) for pairs in sizes]
    batch = recipe.run.batch_size
    # With `chunk` only one piece's activations are kept, but all is encoded twice.
    held, again = (recipe.run.chunk, 4 / 3) if recipe.run.chunk else (batch, 1.0)
    kept = grown(sizes, [cost.kept for cost in costs], held)
    operations = again * grown(sizes, [cost.operations for cost in costs], batch)
    pairs = PAIRS.get(name, IMAGES)
    hours = operations / batch * pairs * recipe.run.epochs / speed / 3600
    return {
        "recipe": name, "batch": batch, "epochs": recipe.run.epochs, "pairs": pairs,
        "states_gb": costs[0].states / GB, "activations_gb": kept / GB,
        "tflop_a_pair": operations / batch / 1e12, "hours": hours,
    }  # fmt: skip


def grown(sizes: list[int], values: list[float], wanted: int) -> float:
    """Return a cost at another size, on the parabola through three sizes (Lagrange's form)."""
    total = 0.0
    for place, (size, value) in enumerate(zip(sizes, values, strict=True)):
        others = sizes[:place] + sizes[place + 1 :]
        share = Fraction(1)
        for other in others:
            share *= Fraction(wanted - other, size - other)
        total += float(share) * value
    return total


def step(recipe: Recipe, pairs: int, tokens: int) -> Cost:
    """Return the cost of one step of so many pairs."""
    encoder = build.build(recipe.model, seed=0)
    method = Method(encoder, recipe.loss)
    context = encoder.tokenize("no edema").shape[0]
    shape = (method.views, pairs, 1, encoder.size, encoder.size)
    grey = torch.randint(0, 255, shape, dtype=torch.uint8)
    images = to_input(grey.flatten(0, 1), recipe.image).unflatten(0, shape[:2])
    words = torch.randint(1, 20_000, (recipe.text.count, pairs, tokens or context))
    normal = torch.arange(pairs) % 2 == 0
    kept: dict[int, int] = {}
    own = {each.untyped_storage().data_ptr() for each in method.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter:
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            keys = negatives = None
            if method.momentum is not None:
                keys = method.momentum.keys(images[0])
                rows = torch.randn(recipe.loss.queue, keys.shape[1])
                negatives = torch.nn.functional.normalize(rows, dim=1)
            shown = loss_inputs(method.model, method(images, words), normal, keys, negatives)
            loss = total(shown, recipe.loss)
        loss.backward()
    everything = [*method.parameters(), *method.buffers()]
    learnt = sum(each.numel() for each in everything if each.requires_grad)
    others = sum(each.numel() for each in everything) - learnt
    moments = 1 if recipe.optim.name == "sgd" else 2
    states = 4 * (learnt * (2 + moments) + others)
    return Cost(counter.get_total_flops(), sum(kept.values()), states)


def _bert(folder: Path) -> str:
    """Write a folder that open_clip takes for a text tower of Hugging Face; return its path."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "edema"]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "config.json").write_text(json.dumps(BERT))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return str(folder)


def show(rows: list[dict[str, Any]], rates: dict[str, float]) -> None:
    """Print the rates and the table."""
    columns = ("recipe", "batch", "epochs", "pairs an epoch", "weights and moments, GB")
    for name, found in rates.items():
        print(f"{name}: {SEEN / TRAININGS[name] / 3600:.0f} pairs/s, {found / 1e12:.1f} TFLOP/s")
    table = Table(*columns, "activations, GB", "TFLOP a pair", "A100-hours")
    for each in rows:
        table.add_row(
            each["recipe"], f"{each['batch']}", f"{each['epochs']}", f"{each['pairs']:,}",
            f"{each['states_gb']:.1f}", f"{each['activations_gb']:.1f}",
            f"{each['tflop_a_pair']:.3f}", f"{each['hours']:.1f}",
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
