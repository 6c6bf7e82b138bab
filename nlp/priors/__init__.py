"""Writes a sentence as a single image can justify it: no comparison, no change."""
