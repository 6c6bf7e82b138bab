"""Writes sets in the forms that other libraries and trainers read."""
