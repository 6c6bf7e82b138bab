"""Raw chest X-ray collections in, WebDataset shards out. Imports `nlp`, never `train` or torch."""

from pipelines import stopping  # noqa: F401 - Ctrl-C is heard while the rest is being imported
