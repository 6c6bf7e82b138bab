"""The demo's image tower: a plain convolutional net that learns films from nothing in a minute.

Registered with timm, so an open_clip model config names it like any other tower. Most findings
are small and local: the maximum over the picture keeps a nodule that the mean would drown, and
the mean keeps a large heart. (CLIP's attention pooling learns either slowly from scratch.)
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.hf_model import register_pooler
from timm.models import register_model
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)


class SmallNet(nn.Module):
    """Four stages of two 3 x 3 convolutions, each halving the side; mean and maximum; a linear map.

    (B, 3, S, S) to (B, num_classes).
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        stages = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.stages = nn.Sequential(*(_stage(before, after) for before, after in stages))
        self.num_features = 2 * WIDTHS[-1]
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of a batch."""
        return self.forward_head(self.stages(images))

    def forward_head(self, maps: Tensor) -> Tensor:
        """Return the features of the last maps (B, C, S / 16, S / 16)."""
        return self.head(torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], dim=1))

    def forward_intermediates(self, images: Tensor, **_: Any) -> tuple[Tensor, list[Tensor]]:
        """Return the last maps, for the head and to look at; timm asks in more detail."""
        maps = self.stages(images)
        return maps, [maps]


def _stage(before: int, after: int) -> nn.Sequential:
    def block(channels: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels, after, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    return nn.Sequential(*block(before, 2), *block(after, 1))


@register_model
def cxr_small(num_classes: int = 128, **_: Any) -> SmallNet:
    """Return the tower; timm passes more than it needs."""
    return SmallNet(num_classes)


@register_pooler
class EndPooler(nn.Module):
    """A text's features at its last token, BERT's [SEP]: how CXR-CLIP's code reads a text."""

    cls_token_position = 0

    def forward(self, shown: Any, there: Tensor) -> Tensor:
        """Return (B, W) from a Hugging Face model's output and the mask of its tokens (B, L)."""
        tokens: Tensor = shown.last_hidden_state
        return tokens[torch.arange(len(tokens)), there.sum(dim=1) - 1]
