"""Reads the devices of a sentence: the type, side, position and tip place of each."""
