"""Zero-shot classification: texts of the labels, scores of the images, truth, measures, rows."""
