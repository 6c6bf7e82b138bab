"""Decides whether a mention is present, absent or uncertain: cues, their scope, its boundaries."""
