"""What decides whether a mention is affirmed: cues, their scope, its boundaries, discourse."""
