"""Translates texts with a sequence-to-sequence model in a local folder.

Any model for one pair of languages works, such as Helsinki-NLP's Marian models. Nothing is sampled:
the same texts in the same batches give the same translations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch

from cxr_vlp.nlp.layout import sentences
from cxr_vlp.train.errors import ConfigError

BEAMS = 5  # as CXR-CLIP, which also samples among them; sampling would differ from run to run
LONGEST = 512  # tokens; for a model that does not state its limit
ROOM = 0.75  # share of them for a text: its translation may be longer, and has the same limit


class Translator(Protocol):
    """Translates a batch of texts, each of which is short enough."""

    def fits(self, text: str) -> bool:
        """Return whether the text is short enough to be translated as a whole."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return each text's translation."""


def translate(texts: Sequence[str], translator: Translator, batch: int) -> list[str]:
    """Return each text's translation; a long text is translated in pieces, which are joined.

    `batch` pieces are translated at a time, sorted by length; equal pieces are translated once.
    """
    cut = [list(pieces(text, translator.fits)) for text in texts]
    distinct = sorted({piece for found in cut for piece in found}, key=lambda p: (len(p), p))
    translated: dict[str, str] = {}
    for start in range(0, len(distinct), batch):
        some = distinct[start : start + batch]
        translated.update(zip(some, translator(some), strict=True))
    return [" ".join(translated[piece].strip() for piece in found) for found in cut]


def pieces(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield a text as a whole where it fits, else its sentences, else halves of them; "": none."""
    words = text.split()
    if fits(text) or len(words) < 2:
        yield from [" ".join(words)] if words else []
        return
    parts = [sentence.text for sentence in sentences.split(text)]
    if len(parts) < 2:
        half = len(words) // 2
        parts = [" ".join(words[:half]), " ".join(words[half:])]
    for part in parts:
        yield from pieces(part, fits)


@dataclass(frozen=True)
class Seq2Seq:
    """A Translator: a model of the package transformers, its tokenizer, its limit in tokens."""

    model: Any
    tokenizer: Any
    longest: int

    def fits(self, text: str) -> bool:
        """Return whether the text and its translation are within the model's limit."""
        return len(self.tokenizer(text).input_ids) <= ROOM * self.longest

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return each text's most probable translation by a beam search."""
        encoded = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,  # a single word may still be too long
            max_length=self.longest,
            return_tensors="pt",
        )
        generated = self.model.generate(
            input_ids=encoded.input_ids.to(self.model.device),
            attention_mask=encoded.attention_mask.to(self.model.device),
            max_length=self.longest,
            num_beams=BEAMS,
            do_sample=False,
        )
        found: list[str] = self.tokenizer.batch_decode(generated, skip_special_tokens=True)
        return found


def load(folder: Path) -> Seq2Seq:
    """Return the model of a folder, on the first GPU where there is one.

    Raises ConfigError with the remedy where the folder or the package transformers is missing.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder}: no model here; download it on a machine with a network, e.g. "
            "`huggingface-cli download Helsinki-NLP/opus-mt-en-it --local-dir DIR` (and "
            "opus-mt-it-en for the other direction), and give the folder"
        )
    if find_spec("transformers") is None:
        raise ConfigError(
            "translation needs the package transformers, and sentencepiece for Marian models: "
            "pip install transformers sentencepiece"
        )
    import transformers  # not at the top: the import takes seconds

    transformers.utils.logging.set_verbosity_error()  # its warnings may quote report text
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # a damaged file may raise any exception
        raise ConfigError(
            f"{folder}: no sequence-to-sequence model with its weights and tokenizer that can be "
            f"read ({type(error).__name__}); download it again, or pip install sentencepiece"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Seq2Seq(model.float().to(device).eval(), tokenizer, longest(model.config, tokenizer))


def longest(config: Any, tokenizer: Any) -> int:
    """Return a model's limit in tokens: the smallest of those of the model and its tokenizer."""
    limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min(LONGEST, *(number for number in limits if number))
