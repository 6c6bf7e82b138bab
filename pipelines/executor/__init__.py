"""The process pool, the progress display, the log of finished parts and the flags for Beam."""
