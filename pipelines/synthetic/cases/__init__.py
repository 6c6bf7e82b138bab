"""Decides which patients and studies a tree has, and the findings of each study."""
