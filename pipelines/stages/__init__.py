"""The work of each stage: on one study (scan) or on one part (texts, shards)."""
