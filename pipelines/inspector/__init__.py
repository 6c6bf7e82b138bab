"""A local web page to look at the samples of sets."""
