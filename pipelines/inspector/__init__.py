"""Shows the samples of sets in a web browser on this machine."""
