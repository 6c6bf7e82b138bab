"""The training loop: steps, optimiser, checkpoints, metrics."""
