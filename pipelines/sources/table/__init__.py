"""The reader `table`: any collection that a CSV, TSV, Parquet or JSON-lines file describes.

The options say what each column means; what they do not say is guessed from common headers:

    options    what may be written under `sources.NAME.reader`
    guesses    the options that common headers stand for
    formats    the rows of CSV, TSV, Parquet, JSON and JSON-lines files
    values     a value of a row: a column, a pattern of columns, a part of one
    meaning    what the columns of one table mean: its options, as values
    plan       which tables there are, what they mean, and which images they list
    lookup     the file of an image, among those on the disk
    keys       ids of any form as keys of studies and images
    facts      the facts of a row, of which `label_cells`, `box_cells` and `texts` make some
    merging    several readers' rows of an image to one label
    joining    the rows of one study to a study
    reader     `TableReader`, a `Source`: these together
"""
