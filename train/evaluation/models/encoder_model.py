"""Makes a `Model` of a dual encoder: of ours, or of any that open_clip builds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.batches import to_input
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model import patches as patch_features
from cxr_vlp.train.model.build import DualEncoder, trim
from cxr_vlp.train.model.fusion import Tokens
from cxr_vlp.train.model.precision import as_float32
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens
from cxr_vlp.train.objective.method import is_fused

TEXTS = 64  # that are encoded, or compared by a fusion, at a time


class EncoderModel:
    """A dual encoder with its preprocessing; `Model` says what each member is."""

    def __init__(
        self,
        encoder: DualEncoder,
        image: ImageConfig,
        name: str,
        digest: str,
        facts: dict[str, Any],
    ) -> None:
        self.encoder, self.image = encoder, image
        self.name, self.digest, self.facts = name, digest, facts
        self.size = encoder.size
        model: Any = encoder.model
        self.model = model.eval()
        self.device: torch.device = next(encoder.model.parameters()).device
        self.fused = is_fused(self.model)
        self.scale = float(self.model.logit_scale.detach().exp())
        self.finer = self.fused or patch_features.available(self.model.visual)
        self.labels: tuple[str, ...] = ()  # that its head scores; then no text is compared

    @torch.no_grad()
    def label_scores(self, images: Tensor) -> Tensor:
        """Return the probabilities (B, L) of `labels` by the head, of images (B, 1, S, S)."""
        inputs = to_input(images.to(self.device), self.image)
        if self.fused:
            features = image_tokens(self.model.visual, inputs).whole
        else:
            features = self.model.encode_image(inputs)
        return as_float32(self.model.label_head(features)).sigmoid()

    @torch.no_grad()
    def encode_images(self, images: Tensor, *, patches: bool = False) -> Tokens:
        """Return the features of images (B, 1, S, S) uint8."""
        inputs = to_input(images.to(self.device), self.image)
        if self.fused:
            return image_tokens(self.model.visual, inputs)
        if patches:
            return self._with_patches(inputs)
        whole = as_float32(self.model.encode_image(inputs, normalize=True))
        return Tokens(whole, whole[:, None][:, :0], torch.ones(len(whole), 0, dtype=torch.bool))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tokens:
        """Return the features of T texts. Raises ConfigError for a tower that was not trained."""
        if self.labels:
            raise ConfigError(
                f"{self.name} was trained on labels alone: it compares images with no text. "
                "zeroshot measures its labels and probe its features; leave out other tasks"
            )
        tokens = torch.stack([self.encoder.tokenize(text) for text in texts])
        tokens = trim(tokens, self.encoder).to(self.device)
        if self.fused:
            return text_tokens(self.model.text, tokens)
        parts = [self.model.encode_text(part, normalize=True) for part in tokens.split(TEXTS)]
        whole = as_float32(torch.cat(parts))
        return Tokens(whole, whole[:, None][:, :0], torch.ones(len(whole), 0, dtype=torch.bool))

    @torch.no_grad()
    def similarity(self, images: Tokens, texts: Tokens) -> Tensor:
        """Return (B, T): cosines, or the mean of the fusion's logits in both directions."""
        if not self.fused:
            return images.whole @ texts.whole.T
        logits = []
        for part in zip(*(each.split(TEXTS) for each in texts), strict=True):
            to_text, to_image = self.model.fusion(images, Tokens(*part))
            logits.append((to_text + to_image.T) / 2)
        return as_float32(torch.cat(logits, dim=1))

    @torch.no_grad()
    def maps(self, images: Tokens, texts: Tokens) -> Tensor:
        """Return (B, T, h, w): how much each patch matches each text."""
        self._require_patches()
        if self.fused:
            parts = zip(*(each.split(TEXTS) for each in texts), strict=True)
            found = [self.model.fusion.attention(images, Tokens(*part)) for part in parts]
            flat = as_float32(torch.cat(found, dim=1))
        else:
            flat = (images.parts @ texts.whole.T).transpose(1, 2)
        side = math.isqrt(flat.shape[-1])
        return flat.unflatten(-1, (side, side))

    def _with_patches(self, inputs: Tensor) -> Tokens:
        self._require_patches()
        whole, parts = (
            nnf.normalize(as_float32(each), dim=-1)
            for each in patch_features.features(self.model.visual, inputs)
        )
        return Tokens(whole, parts, torch.ones(parts.shape[:2], dtype=torch.bool))

    def _require_patches(self) -> None:
        if not self.finer:
            raise ConfigError(
                f"{self.name}: patches of its image tower are not available, and heat maps need "
                "them: leave out the task grounding, or take another model"
            )
