"""Engines: each maps a function over the elements of a stage, on this machine or on many."""
