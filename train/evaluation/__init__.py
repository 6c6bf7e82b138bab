"""Zero-shot scores, their AUROC with intervals, and the files with the results."""
