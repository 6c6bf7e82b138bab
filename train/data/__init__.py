"""Reads shards and makes batches of images and tokens from them."""
