"""Reads radiology reports: sections, sentences, statuses, mentions, labels, statements, prompts.

It knows no file layout of any collection, and imports neither Beam nor torch. README.md in this
folder explains the engine.
"""
