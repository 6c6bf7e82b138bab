"""Evaluation protocols: named YAML files that fix everything that decides a number."""
