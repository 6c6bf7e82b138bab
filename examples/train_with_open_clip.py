"""open_clip's own trainer on shards; the flags are those of `python -m open_clip_train.main`.

    python examples/train_with_open_clip.py --model ViT-B-32 --dataset-type webdataset \\
        --train-data "data/cards/nih/train/nih-train-{00000..00003}.tar" --batch-size 8

open_clip_train is made for webdataset 0.2.86. Newer releases put a mark behind every shard, on
which its grouping of members fails. With webdataset 0.2.86 installed, call open_clip_train.main
itself; this script takes the mark away, and needs no older release.

It counts samples by the sizes.json beside the first tar. For several sets, give it the tars of
data/cards/joined, which `cxr-vlp card data/shards --out data/cards` writes.

It waits for the first batch forever if the tars of a loader worker hold fewer samples than one
batch: take fewer --workers, or --dataset-resampled.
"""

from __future__ import annotations

import functools
import inspect
import sys

import open_clip
from open_clip_train import data, main

from cxr_vlp.train.model.build import CONFIGS

if __name__ == "__main__":
    if "eof_value" in inspect.signature(data.tar_file_expander).parameters:
        data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
    # our small models too: --model cxr-tiny
    open_clip.add_model_config(CONFIGS)
    main.main(sys.argv[1:])
