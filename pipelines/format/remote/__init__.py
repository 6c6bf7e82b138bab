"""Reads finished sets from object stores (`s3://`, `gs://`, `abfs://`).

The small files of a set are copied to a folder of this machine when a command starts; its tars are
fetched whole when they are read.
`train`, `verify` and `urls` use it. fsspec is imported on first use, and in `store` only.
"""
