"""The losses, and how a recipe puts them together."""
