"""Cuts a report: is it text, in which language, which sections, which sentences."""
