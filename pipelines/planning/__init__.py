"""What a conversion costs: hours, bytes, workers; from measured seconds of an image."""
