"""What a recipe and the train sections of params.yaml may hold, and how they are read."""
