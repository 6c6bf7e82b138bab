"""Runs a training: plan, loop, steps, optimiser, checkpoints, metrics and the model's folder."""
