"""Writes texts: statements of mentions, prompts of labels, sentences without priors."""
