"""FOR SYSTEM_TIME AS OF a column: a join with a table as of the time of each row.

In a stream the condition gets a function that the streaming compiler knows (see `markers.py`). In batch there is one
version of everything: a join as of the time of arrival is a join, one by event time would need what has been.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import NotSupportedError
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.markers import AS_OF
from tsdb.exec.names import Names
from tsdb.exec.relation import View
from tsdb.metadata.schema import TableSchema
from tsdb.sql.script import position_of
from tsdb.sql.statements import Statement
from tsdb.sql.table_ref import references, time_of_row
from tsdb.table.table import Table


def join_as_of(query: exp.Query, names: Names, statement: Statement | None, *, streaming: bool) -> None:
    """Write such joins out, in place. Raises NotSupportedError for what none can be."""
    for reference in references(query):
        time = time_of_row(reference)
        if time is None:
            continue
        join = reference.parent
        position = position_of(reference, statement)
        if not isinstance(join, exp.Join) or join.args.get("on") is None:
            raise NotSupportedError(
                "FOR SYSTEM_TIME AS OF the time of a row belongs to the right side of a JOIN … ON; for one version of "
                "a table write a constant TIMESTAMP '…'",
                position=position,
            )
        found = names.source(reference, statement)
        if isinstance(found, View):
            message = f"`{reference.name}` is a view, which has no versions; join a table"
            raise NotSupportedError(message, position=position)
        schema = found.schema if isinstance(found, Table | ConnectorTable) else None
        reference.set("version", None)
        if streaming:
            join.set("on", exp.and_(join.args["on"], _marker(time, reference, schema), copy=False))
        elif schema is not None and schema.primary_keys and columns_of(schema).watermark is not None:
            raise NotSupportedError(
                f"a join with the versions of table `{reference.name}` by event time needs its history, which a batch "
                "query does not see; SET 'execution.mode' = 'streaming'",
                position=position,
            )


def _marker(time: exp.Expr, reference: exp.Table, schema: TableSchema | None) -> exp.Expr:
    """The condition that says so: it names the time, and a column of the right side (its time, if it has one)."""
    moment = exp.Anonymous(
        this="arrow_cast", expressions=[time.copy(), exp.Literal.string("Timestamp(Nanosecond, None)")]
    )
    if schema is None:
        raise NotSupportedError(f"`{reference.name}` has no versions; join a table FOR SYSTEM_TIME AS OF")
    watermark = columns_of(schema).watermark
    plain = [name for name in schema.names if name not in schema.primary_keys] or list(schema.names)
    column = exp.column(watermark.column if watermark is not None else plain[0], reference.alias_or_name, quoted=True)
    plain_text = exp.Anonymous(this="arrow_cast", expressions=[column, exp.Literal.string("Utf8")])
    return exp.Anonymous(this=AS_OF, expressions=[moment, plain_text])
