"""Finished sets in, every breach of the shard format out: the work behind `verify`."""
