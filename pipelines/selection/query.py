"""Finds the samples that a condition of SQL describes, with DuckDB on the table of samples.

A label is written by its own name, in double quotes if it is more than one word:

    split = 'train' and view = 'frontal' and ("Pleural Effusion" = 1 or Edema = 1)

1 is positive, 0 negative, -1 uncertain; a label that is not mentioned is null. The table is named
`samples`, so that a condition can ask for more than one row:

    patient in (select patient from samples where Edema = 1)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.errors import ConfigError

_PLACE = "__place"
_TEXTS = "caption, findings, impression, sentences and other texts are not in the table of samples"
_QUOTES = "values are in single quotes ('train'), names of several words in double quotes"
# what gives another result in another run; in the tree of a condition a function or a column
_CHANGING = frozenset({
    "random", "setseed", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "now", "today",
    "get_current_time", "get_current_timestamp", "current_date", "current_time",
    "current_timestamp", "current_localtime", "current_localtimestamp", "localtime",
    "localtimestamp", "transaction_timestamp", "current_setting", "current_query",
    "current_query_id", "current_connection_id", "current_transaction_id", "txid_current",
    "nextval", "currval", "sleep_ms", "write_log",
})  # fmt: skip


def matching(table: pa.Table, where: str) -> pa.Table:
    """Return the rows of a table of samples for which a condition is true, in their order.

    The condition sees the columns of the table, each label under its own name (those of
    `labels_other` too), and no file or other data of the machine. Raises ConfigError for a
    condition that is no SQL, names an unknown column, compares values that cannot be compared, is
    neither true nor false, or depends on chance or on the clock.
    """
    return table.take(pa.array(places(table, where), pa.int64()))


def matching_each(tables: Sequence[pa.Table], where: str) -> list[pa.Table]:
    """Return the rows of every table for which a condition is true.

    The tables are asked as one: a label that only one of them has is null in the others. Raises
    the errors of `matching`.
    """
    found = pa.array(places(pa.concat_tables(tables), where), pa.int64())
    edges = [0]
    for table in tables:
        edges.append(edges[-1] + table.num_rows)
    return [
        table.take(pc.subtract(found.filter(_between(found, start, end)), start))
        for table, start, end in zip(tables, edges, edges[1:], strict=False)
    ]


def _between(numbers: pa.Array, start: int, end: int) -> pa.Array:
    return pc.and_(pc.greater_equal(numbers, start), pc.less(numbers, end))


def places(table: pa.Table, where: str) -> list[int]:
    """Return the places of the rows for which a condition is true; raises as `matching` does."""
    import duckdb  # here because it takes a tenth of a second, and few commands need it

    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    try:
        connection.execute("SET lock_configuration = true")
        numbered = table.append_column(_PLACE, pa.array(range(table.num_rows), pa.int64()))
        connection.register("__rows", numbered)
        labels = "".join(f", {label}" for label in _labels(table))
        connection.execute(f"CREATE TEMP VIEW samples AS SELECT * {labels} FROM __rows")
        _refuse_chance(connection, where)
        relation = connection.view("samples")
        chosen = relation.filter(where)
        _refuse_no_condition(relation.project(where))
        return chosen.project(_PLACE).order(_PLACE).to_arrow_table().column(0).to_pylist()
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise ConfigError(f"--where: {_told(str(error))}") from None
    except UnicodeError:
        raise ConfigError("--where: the condition is not valid UTF-8") from None
    except duckdb.Error as error:  # the message may quote a value of the table, such as an id
        kind = type(error).__name__.removesuffix("Exception")
        raise ConfigError(
            f"--where: the condition cannot be computed ({kind} error): does it compare a text "
            "with a number, or read a file?"
        ) from None
    finally:
        connection.close()


def _told(message: str) -> str:
    """Return DuckDB's message, which quotes the condition only, with what is often meant."""
    first = message.splitlines()[0]
    if "without selection list" in first:
        return "the condition is empty"
    hint = f"{_QUOTES}; {_TEXTS}" if "not found in FROM" in first else _QUOTES
    return f"{first} ({hint})"


def _refuse_no_condition(condition: Any) -> None:
    """Refuse `age` or `Edema`: DuckDB takes every number but 0 for true, and -1 is uncertain."""
    if [str(kind).strip('"') for kind in condition.types] not in (["BOOLEAN"], ["NULL"]):
        raise ConfigError("--where: the condition is neither true nor false; write e.g. Edema = 1")


def _refuse_chance(connection: Any, where: str) -> None:
    """Refuse what another run would answer differently. A condition that is no SQL passes."""
    asked = f"SELECT 1 FROM samples WHERE ({where}\n)"
    answer = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [asked]).fetchall()[0][0]
    named = {name.lower() for name in _names(json.loads(answer))}
    if odd := sorted(named & _CHANGING):
        raise ConfigError(
            f"--where: {odd[0]} gives another result in every run; choose by --studies and --seed"
        )


def _names(node: Any) -> Iterator[str]:
    """Yield the functions and columns that a tree of SQL names, and "random" for a sample."""
    waiting = [node]  # no recursion: a condition may be a thousand levels deep
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting.extend(node.values())
            if isinstance(node.get("function_name"), str):
                yield "now" if node["function_name"] == "age" else node["function_name"]
            if node.get("class") == "COLUMN_REF" and len(node.get("column_names", ())) == 1:
                yield str(node["column_names"][0])
            if node.get("sample"):
                yield "random"
        elif isinstance(node, list):
            waiting.extend(node)


def _labels(table: pa.Table) -> Iterator[str]:
    """Yield the SQL that gives every label a column of its own name."""
    taken = {name.lower() for name in (*table.column_names, _PLACE)}
    for name in table.column_names:
        if name.startswith(LABEL):
            yield f"{_quoted(name)} AS {_quoted(name.removeprefix(LABEL))}"
            taken.add(name.removeprefix(LABEL).lower())
    others = other_labels(table)
    same = Counter(name.lower() for name in others)
    for name in others:
        # SQL ignores case: of "Scar" and "scar" one would stand for both, so neither has a column
        if name.lower() not in taken and same[name.lower()] == 1:
            text = name.replace("'", "''")
            yield (
                f"list_filter(labels_other, lambda other: other.name = '{text}')[1].value "
                f"AS {_quoted(name)}"
            )


def other_labels(table: pa.Table) -> list[str]:
    """Return the names of the further labels (`labels_other`) that a table has, sorted."""
    others = pc.list_flatten(table.column("labels_other"))
    return sorted(set(pc.struct_field(others, "name").unique().to_pylist()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
