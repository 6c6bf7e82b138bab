"""What a sentence mentions: terms, their mentions, what is attached to them."""
