"""A picture file's bytes in, grey values out: all formats and transfer syntaxes, at any size."""
