"""Two processes with half a batch each must do what one does with the whole."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as nnf
from torch.nn.parallel import DistributedDataParallel

from train.losses import clip
from train.ranks import gather, world


class Towers(torch.nn.Module):
    """Two linear towers and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = torch.nn.Linear(4, 3), torch.nn.Linear(5, 3)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, pictures, words):
        image = nnf.normalize(self.image(pictures), dim=1)
        return image, nnf.normalize(self.text(words), dim=1), self.scale.exp()


def setting() -> tuple[Towers, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return Towers().double(), torch.randn(8, 4).double(), torch.randn(8, 5).double()


def gradients(model: torch.nn.Module, pictures, words) -> list[torch.Tensor]:
    image, text, scale = model(pictures, words)
    clip(gather(image), gather(text), scale).backward()
    return [weight.grad for weight in model.parameters()]


def half(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model, pictures, words = setting()
    mine = slice(4 * rank, 4 * rank + 4)
    found = gradients(DistributedDataParallel(model), pictures[mine], words[mine])
    torch.save(found, Path(out) / f"{rank}.pt")
    dist.destroy_process_group()


def test_alone_nothing_is_gathered():
    features = torch.randn(3, 2)
    assert world() == (0, 1)
    assert gather(features) is features


@pytest.mark.slow
def test_two_halves_have_the_gradients_of_the_whole(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(half, (port, str(tmp_path)), nprocs=2)
    expected = gradients(*setting())
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, atol=1e-12)
