"""The dual encoder, its tokenizer, the fusion and the momentum encoder."""
