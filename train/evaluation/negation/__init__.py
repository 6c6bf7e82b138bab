"""Negation: pairs of a statement and its denial, and which of the two an image prefers."""
