"""A DataFusion context with a few tables, and the whole way of a query through `tsdb.sql`."""

from collections.abc import Callable
from typing import Any

import datafusion
import pyarrow as pa
import pytest
from sqlglot import exp

from tsdb.exec.builtin import register_built_in
from tsdb.sql.bind import BoundQuery, bind_query
from tsdb.sql.parser import parse_one
from tsdb.sql.statements import Select
from tsdb.sql.table_ref import table_not_found

TABLES = {
    "orders": pa.table(
        {
            "id": pa.array([1, 2, 3, 4], pa.int64()),
            "Customer": pa.array(["ann", "bob", "ann", None]),
            "amount": pa.array([10.0, 20.0, None, 5.0]),
            "ts": pa.array([0, 60_000, 600_000, 4_000_000], pa.timestamp("ms")),
            "tags": pa.array([["x", "y"], [], None, ["z"]], pa.list_(pa.string())),
        }
    ),
    "customers": pa.table({"Name": ["ann", "cid"], "city": ["Rome", "Oslo"]}),
    "l": pa.table({"k": pa.array([1, 1, 1, 2, None], pa.int64()), "v": ["a", "a", "b", "c", "n"]}),
    "r": pa.table({"k": pa.array([1, 3, None], pa.int64()), "w": ["A", "C", "N"]}),
    "deep": pa.table(
        {
            "id": [1],
            "items": pa.array([[{"p": 1, "q": "a"}, {"p": 2, "q": "b"}]]),
            "m": pa.array([[("k", 7)]], pa.map_(pa.string(), pa.int64())),
        }
    ),
    "nested": pa.table({"id": [1], "S": pa.array([{"Inner": 5}])}),
}


@pytest.fixture(scope="session")
def context() -> datafusion.SessionContext:
    ctx = datafusion.SessionContext()
    register_built_in(ctx)
    for name, table in TABLES.items():
        ctx.register_record_batches(name, [table.to_batches()])
    return ctx


Bind = Callable[..., BoundQuery]


@pytest.fixture(scope="session")
def bind() -> Bind:
    def run(sql: str, *, streaming: bool = False) -> BoundQuery:
        statement = parse_one(sql)
        assert isinstance(statement, Select)

        def schema_of(table: exp.Table) -> pa.Schema:
            if table.name not in TABLES:
                raise table_not_found(table, statement, TABLES)
            return TABLES[table.name].schema

        return bind_query(statement.query, schema_of, statement, streaming=streaming)

    return run


Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def rows(context: datafusion.SessionContext, bind: Bind) -> Rows:
    """The rows of a query, run by DataFusion; sorted as text unless `ordered`."""

    def run(sql: str, *, ordered: bool = False, streaming: bool = False) -> list[tuple[Any, ...]]:
        table = context.sql(bind(sql, streaming=streaming).sql).to_arrow_table()
        found = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return found if ordered else sorted(found, key=repr)

    return run
