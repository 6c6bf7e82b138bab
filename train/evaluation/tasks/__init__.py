"""What can be measured of a model: zero-shot, retrieval, grounding, probe, negation."""
