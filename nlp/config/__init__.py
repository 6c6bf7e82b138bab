"""Reads configuration files: strict settings, and YAML that all readers understand alike."""
