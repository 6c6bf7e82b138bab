"""The shard format, for all rooms that read or write it: samples, tars, manifests, fingerprints.

This is the one room of `pipelines` that `train` imports. It needs the standard library only and
imports nothing else of this project.
"""
