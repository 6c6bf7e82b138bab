"""Reads radiology reports: sections, sentences, statuses, mentions, labels, statements, prompts.

It depends on no collection's layout, and imports neither Beam nor torch. README.md in this folder
explains the engine.
"""
