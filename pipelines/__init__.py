"""Turns chest X-ray collections into WebDataset shards; imports `nlp`, never `train` or torch."""

# imported first: handles Ctrl-C while the other modules are imported
from cxr_vlp.pipelines import interrupts  # noqa: F401
