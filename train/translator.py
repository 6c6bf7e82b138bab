"""Texts in one language come in, the same texts in another go out, by a model in a folder.

Any sequence-to-sequence model of one pair of languages will do, such as Helsinki-NLP's Marian
models. Nothing is drawn: the same texts in the same batches give the same translations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch

from cxr_vlp.nlp import sentences
from cxr_vlp.train.errors import ConfigError

BEAMS = 5  # CXR-CLIP's; it samples among them, which one run in two would not repeat
LONGEST = 512  # tokens; of a model that does not say what it takes
ROOM = 0.75  # of those for a text, as its translation may be longer and is cut at the same length


class Translator(Protocol):
    """What translates a batch of texts, each short enough."""

    def fits(self, text: str) -> bool:
        """Tell whether the text is short enough to be translated whole."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return each text's translation."""


def translate(texts: Sequence[str], by: Translator, batch: int) -> list[str]:
    """Return each text's translation, of a long text that of its pieces one behind the other.

    `batch` pieces are translated at a time, those of a length together, and each of them once.
    """
    cut = [list(pieces(text, by.fits)) for text in texts]
    distinct = sorted({piece for found in cut for piece in found}, key=lambda p: (len(p), p))
    said: dict[str, str] = {}
    for start in range(0, len(distinct), batch):
        some = distinct[start : start + batch]
        said.update(zip(some, by(some), strict=True))
    return [" ".join(said[piece].strip() for piece in found) for found in cut]


def pieces(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield a text whole where it fits, else its sentences, else halves of those; "" has none."""
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
    """A Translator: a model of the transformers package, its tokenizer, the tokens it takes."""

    model: Any
    tokenizer: Any
    longest: int

    def fits(self, text: str) -> bool:
        """Tell whether the model takes the text, and its translation, whole."""
        return len(self.tokenizer(text).input_ids) <= ROOM * self.longest

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return each text's likeliest translation under a beam search."""
        read = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,  # a single word may still be too long
            max_length=self.longest,
            return_tensors="pt",
        )
        said = self.model.generate(
            input_ids=read.input_ids.to(self.model.device),
            attention_mask=read.attention_mask.to(self.model.device),
            max_length=self.longest,
            num_beams=BEAMS,
            do_sample=False,
        )
        found: list[str] = self.tokenizer.batch_decode(said, skip_special_tokens=True)
        return found


def load(folder: Path) -> Seq2Seq:
    """Return the model of a folder, on the first GPU where there is one.

    Raises ConfigError with the fix where the folder or the package transformers is absent.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder}: no model here; download it where there is a network, e.g. "
            "`huggingface-cli download Helsinki-NLP/opus-mt-en-it --local-dir DIR` (and "
            "opus-mt-it-en for the way back), and give the folder"
        )
    if find_spec("transformers") is None:
        raise ConfigError(
            "translation needs the package transformers, Marian's tokenizers sentencepiece too: "
            "pip install transformers sentencepiece"
        )
    import transformers  # here, and not above: it is no dependency of ours

    transformers.utils.logging.set_verbosity_error()  # its warnings may quote what it reads
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a damaged file makes its many readers raise
        raise ConfigError(
            f"{folder}: no sequence-to-sequence model with its weights and tokenizer that can be "
            f"read ({type(error).__name__}); download it again, or pip install sentencepiece"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Seq2Seq(model.float().to(device).eval(), tokenizer, longest(model.config, tokenizer))


def longest(config: Any, tokenizer: Any) -> int:
    """Return how many tokens a model takes: the least of what it and its tokenizer say."""
    said = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min(LONGEST, *(number for number in said if number))
