"""Selects samples of sets by a query and writes them as complete new sets."""
