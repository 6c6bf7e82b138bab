"""Stores the results of earlier runs, so that a run rebuilds only what a change affects."""
