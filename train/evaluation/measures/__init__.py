"""Measures on scores and truth: values, thresholds, intervals, differences between models."""
