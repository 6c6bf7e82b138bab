"""The reader `table`: any collection that a CSV, TSV, Parquet or JSON-lines file describes.

The options say what each column means; what they do not say is guessed from common headers:

    options    what may be written under `sources.NAME.reader`
    guesses    the options that common headers stand for
    tabular    rows of CSV, TSV, Parquet and JSON-lines files, and one row again by its place
    cells      the values of one row: names from patterns, sections, labels, boxes
    merging    several readers' rows of an image to one label
    masks      run lengths and outlines to boxes
    lookup     the file of an image, among those on the disk
    reader     `TableReader`, a `Source`: these together
"""
