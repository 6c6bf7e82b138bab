"""Writes reports from a patient's findings: planned, worded, formatted as a collection's file."""
