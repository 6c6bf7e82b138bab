"""A training loop of your own on shards: `python examples/train_loop.py data/shards`.

It needs the extra `train`. The towers are open_clip's ViT-B-32 with random weights; the loss is
CLIP's. `cxr-vlp fit` does this with checkpoints, validation and several processes.
"""

from __future__ import annotations

import sys

import open_clip
import torch

import cxr_vlp
from cxr_vlp.train.data.batches import to_input


def train(shards: str, steps: int = 100, batch_size: int = 32, model: str = "ViT-B-32") -> float:
    """Train for some steps and return the last loss."""
    changes = {"model": {"name": model}, "text": {"policies": ["impression", "findings"]}}
    batches = cxr_vlp.loader(shards, changes, batch_size=batch_size)
    towers = open_clip.create_model(model)
    optimiser = torch.optim.AdamW(towers.parameters(), lr=5e-5)
    done, loss = 0, torch.zeros(())
    while done < steps:
        for batch in batches:  # each pass is the next epoch, in another order
            images = to_input(batch.images[0], batches.recipe.image)
            image, text, scale = towers(images, batch.tokens[0])[:3]
            loss = cxr_vlp.losses.clip(image, text, scale)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done += 1
            if done == steps:
                break
        if batches.epoch > done:
            raise SystemExit(f"fewer than {batch_size} samples: choose a smaller batch_size")
    return loss.item()


if __name__ == "__main__":
    print(train(sys.argv[1]))
