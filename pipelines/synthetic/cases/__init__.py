"""Decides which patients and studies a tree holds, and what is true of each study."""
