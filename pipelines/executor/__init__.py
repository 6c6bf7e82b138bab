"""The process pool, the progress display, the log of finished parts and the record of an image."""
