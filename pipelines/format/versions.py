"""The version of the output of each stage. DVC and fingerprints depend on these, not on the code.

Raise a number when a change of code changes the bytes that the stage writes. Do not raise it for a
comment, a rename or a speed-up. tests/pipelines/format/test_golden.py fails when bytes change and
the number does not.
"""

FORMAT = 4  # layout of tars, manifest and JSON members
SCAN = 4  # readers, joins, inventory
TEXTS = 5  # what is made of a report (the lexicon has a digest of its own)
PIXELS = 3  # grey values, resizing, encoding
CARDS = 2  # the table of samples, cards and indexes
SELECTION = 1  # which samples `select` draws, and how it cuts them into parts


def refusal(found: object) -> str:
    """Return why a sample or manifest with this `format` number cannot be read, "" if it can."""
    if type(found) is int and found == FORMAT:
        return ""
    if type(found) is int and found > FORMAT:
        return (
            "made by a later version: install that version, or build the set again (cxr-vlp shards)"
        )
    return (
        "made by version 0.6 or earlier: build the set again (cxr-vlp shards); a JSON of another "
        "program is not read (docs/reuse.md)"
    )
