"""Raw chest X-ray collections in, WebDataset shards out. Imports `nlp`, never `train` or torch."""
