"""Writes the files and tables of each collection as its publisher does, one module each."""
