"""What earlier runs left behind, and how it is taken over instead of being made again."""
