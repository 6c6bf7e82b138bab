"""Towers, fusion, tokenizer and momentum copy: what is trained."""
