"""Registers our own image tower with timm, and a text pooler with open_clip.

The image tower is the demo's: a small convolutional network that learns from random weights in a
minute. An open_clip configuration names it like any other tower. Most findings are small and local:
the maximum over the image keeps a nodule that the mean would hide, and the mean keeps a large
heart. (CLIP's attention pooling learns both slowly from random weights.)
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.hf_model import register_pooler
from timm.models import register_model
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)


class SmallNet(nn.Module):
    """Four stages of two 3 x 3 convolutions, mean and maximum over the image, a linear map.

    Each stage halves the side. Input (B, 3, S, S), output (B, num_classes).
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        stages = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.stages = nn.Sequential(*(_stage(before, after) for before, after in stages))
        self.num_features = 2 * WIDTHS[-1]
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, num_classes) of images (B, 3, S, S)."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last maps (B, C, S / 16, S / 16)."""
        return self.stages(images)

    def forward_head(self, maps: Tensor) -> Tensor:
        """Return the features of the last maps (B, C, S / 16, S / 16)."""
        return self.head(torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], dim=1))

    def forward_patches(self, maps: Tensor) -> Tensor:
        """Return features (B, P, num_classes) of the P patches of the last maps, row by row.

        Each patch stands in the place of the maximum, beside the mean of its own image: the feature
        of an image whose most conspicuous place it is.
        """
        patches = maps.flatten(2).transpose(1, 2)
        mean = patches.mean(dim=1, keepdim=True).expand_as(patches)
        return self.head(torch.cat([patches, mean], dim=2))

    def forward_intermediates(self, images: Tensor, **_: Any) -> tuple[Tensor, list[Tensor]]:
        """Return the last maps (B, C, S / 16, S / 16), twice: for the head, and as patches."""
        maps = self.forward_features(images)
        return maps, [maps]


def _stage(before: int, after: int) -> nn.Sequential:
    def block(channels: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels, after, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    return nn.Sequential(*block(before, 2), *block(after, 1))


@register_model
def cxr_small(num_classes: int = 128, **_: Any) -> SmallNet:
    """Return the image tower. timm passes more arguments than it needs."""
    return SmallNet(num_classes)


@register_pooler
class EndPooler(nn.Module):
    """Takes a text's features at its last token, BERT's [SEP], as CXR-CLIP's code does."""

    cls_token_position = 0

    def forward(self, output: Any, mask: Tensor) -> Tensor:
        """Return (B, W) from a Hugging Face model's output and its attention mask (B, L)."""
        tokens: Tensor = output.last_hidden_state
        return tokens[torch.arange(len(tokens)), mask.sum(dim=1) - 1]
