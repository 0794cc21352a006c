"""SUMMARIZE: what the columns of a table or query hold, a row each, as DuckDB has it; computed in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
from sqlglot import exp

from tsdb.data_types import from_arrow
from tsdb.exec.plan import QueryPlan
from tsdb.exec.result import BatchResult, rows_of
from tsdb.sql import catalog_statements as more
from tsdb.sql import statements as sql
from tsdb.sql.parser import parse_query

_TEXTS = ("min", "max")
_NUMBERS = ("avg", "std", "q25", "q50", "q75")


def summarize(
    statement: more.Summarize,
    plan: Callable[..., QueryPlan],
    run: Callable[[sql.Select], BatchResult],
) -> BatchResult:
    """Names, types, extremes, about how many values, averages, quantiles, rows, and the share of NULLs."""
    schema = plan(statement.query, statement, "batch").schema
    items = [item for i, field in enumerate(schema) for item in _measures(i, field)]
    query = parse_query(f"SELECT {', '.join(['count(*) AS n', *items])} FROM summarized")
    names = [exp.to_identifier(f"c{i}") for i in range(len(schema))]
    alias = exp.TableAlias(this=exp.to_identifier("summarized"), columns=names)
    source = query.args["from_"].this
    source.replace(exp.Subquery(this=statement.query.copy(), alias=alias))
    select = replace(sql.Select(query), position=statement.position, text=statement.text, script=statement.script)
    (row,) = run(select).reader.read_all().to_pylist()
    return rows_of(_table(schema, row))


def _measures(i: int, field: pa.Field) -> list[str]:
    """Aggregates of one column, each under its name and the column's number."""
    column, kind = f"c{i}", field.type
    wanted = {"known": f"count({column})"}
    if not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
        wanted["min"], wanted["max"] = (f"CAST({name}({column}) AS STRING)" for name in _TEXTS)
        wanted["unique"] = f"approx_count_distinct(CAST({column} AS STRING))"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        number = f"CAST({column} AS DOUBLE)"
        wanted["avg"], wanted["std"] = f"avg({number})", f"stddev_samp({number})"
        for part in (25, 50, 75):
            wanted[f"q{part}"] = f"approx_percentile_cont(0.{part}) WITHIN GROUP (ORDER BY {number})"
    return [f"{measure} AS {name}{i}" for name, measure in wanted.items()]


def _table(schema: pa.Schema, row: dict[str, object]) -> pa.Table:
    count = int(str(row["n"]))
    places = range(len(schema))

    def texts(name: str) -> pa.Array:
        return pa.array(
            [None if row.get(f"{name}{i}") is None else str(row[f"{name}{i}"]) for i in places], pa.string()
        )

    missing = [100.0 * (count - int(str(row[f"known{i}"]))) / count if count else None for i in places]
    return pa.table(
        {
            "column_name": pa.array(schema.names, pa.string()),
            "column_type": pa.array([from_arrow(field.type).sql() for field in schema], pa.string()),
            **{name: texts(name) for name in _TEXTS},
            "approx_unique": pa.array([row.get(f"unique{i}") for i in places], pa.int64()),
            **{name: texts(name) for name in _NUMBERS},
            "count": pa.array([count] * len(schema), pa.int64()),
            "null_percentage": pa.array(missing, pa.float64()),
        }
    )
