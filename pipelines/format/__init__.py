"""The shard format: samples, tars, manifests and fingerprints, for every room that reads or writes them.

This is the one room of `pipelines` that `train` imports. It needs the standard library only and
imports nothing else of this project.
"""
