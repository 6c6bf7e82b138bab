"""Finds the samples that a condition of SQL describes, with DuckDB on the table of samples.

A label is written by its own name, in double quotes if it is more than one word:

    split = 'train' and view = 'frontal' and ("Pleural Effusion" = 1 or Edema = 1)

1 is positive, 0 negative, -1 uncertain; a label that is not mentioned is null.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.errors import ConfigError

_PLACE = "__place"


def matching(table: pa.Table, where: str) -> pa.Table:
    """Return the rows of a table of samples for which a condition is true, in their order.

    The condition sees the columns of the table, each label under its own name (those of
    `labels_other` too), and no file or other data of the machine. Raises ConfigError for a
    condition that is no SQL, names an unknown column or compares values that cannot be compared.
    """
    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    try:
        numbered = table.append_column(_PLACE, pa.array(range(table.num_rows), pa.int64()))
        connection.register("numbered", numbered)
        labels = ", ".join(_labels(table))
        relation = connection.sql(f"SELECT * {labels and ', ' + labels} FROM numbered")
        found = relation.filter(where).project(_PLACE).order(_PLACE).to_arrow_table()
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise ConfigError(f"--where: {str(error).splitlines()[0]}") from None
    except duckdb.Error as error:  # the message may quote a value of the table, such as an id
        kind = type(error).__name__.removesuffix("Exception")
        raise ConfigError(f"--where: the condition cannot be computed ({kind} error)") from None
    finally:
        connection.close()
    return table.take(found.column(0))


def _labels(table: pa.Table) -> Iterator[str]:
    """Yield the SQL that gives every label a column of its own name."""
    taken = {name.lower() for name in table.column_names}
    for name in table.column_names:
        if name.startswith(LABEL) and name != "labels_other":
            yield f"{_quoted(name)} AS {_quoted(name.removeprefix(LABEL))}"
            taken.add(name.removeprefix(LABEL).lower())
    others = pc.list_flatten(table.column("labels_other"))
    for name in sorted(set(pc.struct_field(others, "name").unique().to_pylist())):
        if name.lower() not in taken:
            text = name.replace("'", "''")
            taken.add(name.lower())
            yield (
                f"list_filter(labels_other, lambda other: other.name = '{text}')[1].value "
                f"AS {_quoted(name)}"
            )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
