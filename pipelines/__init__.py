"""Raw chest X-ray collections in, WebDataset shards out. Imports `nlp`, never `train` or torch."""

from cxr_vlp.pipelines import interrupts  # noqa: F401 - Ctrl-C is heard while the rest is being imported
