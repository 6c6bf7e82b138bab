"""Reads and writes files on this machine: paths, CSV tables, JSON lines, output folders."""
