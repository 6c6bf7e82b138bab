"""The forms that published trainers read: their columns, paths and label names, without glue."""
