"""The version of what each stage computes; DVC and the fingerprints watch these, not the code.

Raise a number when a change of code changes the bytes that stage writes; a comment, a rename or
a speed-up raises nothing. tests/pipelines/format/test_golden.py fails when bytes change and this
does not.
"""

FORMAT = 2  # layout of tars, manifest and json members
SCAN = 3  # readers, joins, inventory
TEXTS = 3  # what is made of a report (the lexicon has a digest of its own)
PIXELS = 3  # grey values, resizing, encoding
