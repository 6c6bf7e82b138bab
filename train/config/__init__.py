"""Defines, reads and checks recipes and the train sections of params.yaml."""
