"""Zero-shot scores, their metrics and the tables they are written to."""
