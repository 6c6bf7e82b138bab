"""Finds words and phrases in a text: tokens, the phrase table (a trie), windows of long texts."""
