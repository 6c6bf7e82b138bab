"""The shard format for all code that reads or writes it: samples, tars, manifests, fingerprints.

This is the only package of `pipelines` that `train` imports. It needs the standard library only and
imports nothing else of this project.
"""
