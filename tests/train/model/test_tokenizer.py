"""The cached tokenizer gives the same tokens as open_clip's, for any text."""

from __future__ import annotations

import pickle

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from cxr_vlp.train.model.tokenizer import cached

PLAIN = open_clip.get_tokenizer("ViT-B-32")
QUICK = cached(PLAIN)
ASCII = st.characters(max_codepoint=126, exclude_categories=["Cc"])


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "no  edema .", "Heart's size isn't enlarged; they'll see.", "'s", ".'s",
        "3.5 x 12cm", "&amp; Fish &lt;3", "a\nb\tc\r\n", "\x1b[31mred", "\ufb01brosis",
        "<start_of_text><end_of_text> <END_OF_TEXT>", "\U0001f600", "word " * 200,
        "caf\u00e9 \u201cquoted\u201d \u00e2\u20ac\u2122s",
    ],
)  # fmt: skip
def test_the_same_tokens(text):
    assert torch.equal(QUICK([text]), PLAIN([text]))
    assert torch.equal(QUICK([text]), PLAIN([text]))  # out of the memory


@given(st.one_of(st.text(), st.text(ASCII), st.text("abc's.,<&; 12AB")))
def test_the_same_tokens_of_any_text(text):
    assert QUICK.encode(text) == PLAIN.encode(text)


def test_each_word_is_looked_at_once(monkeypatch):
    seen: list[str] = []
    whole = SimpleTokenizer.encode

    def noted(self, text):
        seen.append(text)
        return whole(self, text)

    monkeypatch.setattr(SimpleTokenizer, "encode", noted)
    cached(PLAIN).encode("no edema, no effusion, no edema")
    assert sorted(seen) == [",", "edema", "effusion", "no"]


def test_it_can_be_sent_to_a_loaders_process():
    sent = pickle.loads(pickle.dumps(QUICK))
    assert sent.encode("No edema.") == PLAIN.encode("No edema.")


def test_a_tokenizer_that_cleans_in_another_way_stays_as_it_is():
    tokenizer = SimpleTokenizer(clean="canonicalize")
    assert cached(tokenizer).encode("No_edema, none.") == PLAIN.encode("no edema none")
