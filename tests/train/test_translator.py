"""The translators: how long texts are cut, and the arguments of a transformers model.

Contents: `Backwards` (a translator that reverses every word, so that two translations give the text
back), `Letters` and `Flip` (stand-ins for a tokenizer and a model), and the fixture `models` (two
tiny random models of transformers, where that is installed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train import translator
from cxr_vlp.train.errors import ConfigError


@dataclass
class Backwards:
    """Reverses every word; records its calls."""

    takes: int = 10**6  # characters
    asked: list[list[str]] = field(default_factory=list)

    def fits(self, text: str) -> bool:
        return len(text) <= self.takes

    def __call__(self, texts: Sequence[str]) -> list[str]:
        assert all(text and (self.fits(text) or " " not in text) for text in texts)
        self.asked.append(list(texts))
        return [" ".join(word[::-1] for word in text.split()) for text in texts]


TEXTS = ["The lungs are clear.", "No edema.", "A small nodule."]
REPORT = "The heart is of normal size. 2. No effusion, 3.5 cm nodule at the left base. No edema."


SENTENCES = [
    "The heart is of normal size.",
    "No effusion, 3.5 cm nodule at the left base.",
    "No edema.",
]
HALVES = ["The heart is", "of", "normal size."]


@pytest.mark.parametrize(
    ("takes", "expected"),
    [(1000, [REPORT]), (45, SENTENCES), (12, HALVES)],
    ids=["whole", "by-the-sentence", "by-halves-of-a-sentence"],
)
def test_a_long_text_is_cut_between_sentences(takes, expected):
    model = Backwards(takes=takes)
    assert list(translator.pieces(REPORT, model.fits))[: len(expected)] == expected
    across = translator.translate([REPORT, "No edema."], model, batch=2)
    assert translator.translate(across, model, batch=2)[1] == "No edema."


@given(
    st.lists(st.text("mn. \n-1", max_size=60), max_size=6), st.integers(1, 20), st.integers(1, 3)
)
def test_every_piece_fits_or_is_one_word_and_no_word_is_lost(texts, takes, batch):
    model = Backwards(takes=takes)
    found = translator.translate(texts, model, batch)
    assert len(found) == len(texts)
    assert all(len(some) <= batch for some in model.asked)
    for text, said in zip(texts, found, strict=True):
        letters = [c for c in text if c in "mn"]  # "a." and "1." may be list markers
        assert sorted(c for c in said if c in "mn") == sorted(letters)


def test_what_texts_share_is_translated_once():
    model = Backwards(takes=20)
    translator.translate(["One sentence. No edema.", "Other words. No edema."], model, batch=9)
    assert [sorted(some) for some in model.asked] == [
        ["No edema.", "One sentence.", "Other words."]
    ]


@dataclass
class Letters:
    """Replaces a tokenizer: one token a letter, 0 is padding, 1 is the end."""

    model_max_length: int = 10**30

    def __call__(self, texts: str | list[str], max_length: int = 10**6, **_: object) -> object:
        if isinstance(texts, str):
            return SimpleNamespace(input_ids=[*map(ord, texts), 1])
        rows = [[*map(ord, text), 1][:max_length] for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return SimpleNamespace(input_ids=ids, attention_mask=(ids > 0).long())

    def batch_decode(self, rows: torch.Tensor, skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return ["".join(chr(n) for n in row if n > 1) for row in rows.tolist()]


class Flip:
    """Replaces a model: reverses every row, and records its arguments."""

    device = "cpu"

    def generate(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: object):
        assert torch.equal(attention_mask, (input_ids > 0).long())
        self.options = options
        return input_ids.flip(1)


def test_a_model_searches_for_the_likeliest_words_within_its_limit():
    model = Flip()
    seq2seq = translator.Seq2Seq(model, Letters(), longest=16)
    assert seq2seq(["edema", "no"]) == ["amede", "on"]
    assert model.options == {"max_length": 16, "num_beams": 5, "do_sample": False}
    assert seq2seq(["x" * 400]) == ["x" * 16]
    assert [seq2seq.fits("x" * n) for n in (11, 12)] == [True, False]  # room for the translation


@pytest.mark.parametrize(
    ("positions", "tokenizer", "expected"),
    [(512, 512, 512), (128, 10**30, 128), (None, 77, 77), (None, 10**30, 512), (1024, 900, 512)],
)
def test_the_limit_is_the_smaller_of_model_and_tokenizer(positions, tokenizer, expected):
    config = SimpleNamespace(**({"max_position_embeddings": positions} if positions else {}))
    found = translator.longest(config, SimpleNamespace(model_max_length=tokenizer))
    assert found == expected


def test_the_error_for_a_missing_model_has_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"huggingface-cli download Helsinki-NLP/opus-mt-en-it"):
        translator.load(tmp_path / "none")


def test_without_transformers_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(translator, "find_spec", lambda _: None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="pip install transformers sentencepiece"):
        translator.load(tmp_path)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path]:
    """Two tiny Marian models with random weights and a tokenizer of the words of `TEXTS`."""
    transformers = pytest.importorskip(
        "transformers", reason="the models are transformers', which is not installed"
    )
    import tokenizers

    words = sorted({word for text in (*TEXTS, REPORT) for word in text.replace(".", " .").split()})
    vocabulary = {word: n for n, word in enumerate(("<pad>", "</s>", "<unk>", *words))}
    made = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp("marian")
        words_of = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
        words_of.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        words_of.post_processor = tokenizers.processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=words_of, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        ).save_pretrained(folder)
        config = transformers.MarianConfig(
            vocab_size=len(vocabulary), d_model=16, max_position_embeddings=16, pad_token_id=0,
            eos_token_id=1, forced_eos_token_id=1, decoder_start_token_id=0,
            encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        )  # fmt: skip
        torch.manual_seed(seed)
        model = transformers.MarianMTModel(config)
        model.final_logits_bias[0, :3] = -1e4  # it says words only, until it must end
        model.save_pretrained(folder)
        made.append(folder)
    return made[0], made[1]


def test_models_on_disk_give_the_same_translations_twice(models):
    found = []
    for _ in range(2):
        there, back = map(translator.load, models)
        found.append(translator.translate(translator.translate(TEXTS, there, 2), back, 2))
    assert found[0] == found[1]
    assert all(found[0])
    assert not any("</s>" in text or "<pad>" in text for text in found[0])


def test_a_model_on_disk_takes_no_more_than_its_positions(models):
    there = translator.load(models[0])
    assert there.longest == 16
    assert there.fits("No edema.")
    assert not there.fits(REPORT)
    assert all(translator.translate([REPORT, "No edema.", "edema." * 30], there, batch=2))


def test_the_error_for_a_damaged_model_has_the_remedy(models, tmp_path):
    for path in models[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="download it again"):
        translator.load(tmp_path)
