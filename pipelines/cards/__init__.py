"""The cards of a set: its table of samples, its pages, and indexes for other readers."""
