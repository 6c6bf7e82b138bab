"""The forms that libraries and own programs read: tables, Hugging Face, wids, MDS, litdata."""
