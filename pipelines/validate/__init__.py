"""Checks finished sets against the shard format: the work of `verify`."""
