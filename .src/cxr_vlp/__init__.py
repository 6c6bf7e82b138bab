"""Chest X-ray collections to WebDataset shards, and vision-language models trained on them."""

__version__ = "0.4.0"
