"""Shards in, models and metrics out. Imports `nlp`, never `pipelines` or Beam."""
