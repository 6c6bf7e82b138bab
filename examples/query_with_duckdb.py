"""DuckDB over the tables of samples: `python examples/query_with_duckdb.py data/shards/*`.

`cxr-vlp card` writes the same table as samples.parquet; then this is one line:

    duckdb -c "SELECT view, count(*) FROM 'data/cards/*/samples.parquet' GROUP BY view"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import pyarrow as pa

from cxr_vlp.pipelines.cards import sample_table

QUERY = """
    SELECT dataset, split, count(*) AS images, count(DISTINCT patient) AS patients,
           count(*) FILTER ("label_Pleural Effusion" = 1) AS effusions
    FROM samples GROUP BY ALL ORDER BY ALL
"""


def main() -> None:
    """Print a row of counts for each split of each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--state", type=Path, default=Path(".cxr"))
    parser.add_argument("--sql", default=QUERY, help="a query of the table `samples`")
    flags = parser.parse_args()
    tables = [sample_table.of_set(folder, flags.state) for folder in flags.shards]
    connection = duckdb.connect()
    connection.register("samples", pa.concat_tables(tables))
    found = connection.sql(flags.sql)
    print(*found.columns)
    for row in found.fetchall():
        print(*row)


if __name__ == "__main__":
    main()
