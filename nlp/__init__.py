"""Report text in, statements out: sections, sentences, status, labels, prompts.

Knows no file layout of any collection, and imports neither Beam nor torch.
"""
