"""Finds what a sentence mentions: terms, mentions, and the structures and modifiers of each."""
