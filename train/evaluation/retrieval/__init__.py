"""Retrieval: galleries of images and texts, ranks, precision, and five-way classification."""
