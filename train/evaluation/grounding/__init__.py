"""Grounding: what is searched for, how a map is measured, and the table of results."""
