"""The whole way of a query through this package: desugared, names resolved, rewritten, as text for DataFusion."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from tsdb.sql.qualify import SchemaOf, output_names, qualify
from tsdb.sql.rewrite import desugar, rewrite
from tsdb.sql.rewrite.current_time import refuse_current_time
from tsdb.sql.statements import Statement
from tsdb.sql.unparse import to_datafusion


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """sql: for DataFusion. names: the output columns as the user should see them, None: as DataFusion calls them."""

    sql: str
    query: exp.Query
    names: tuple[str, ...] | None


def bind_query(
    query: exp.Query,
    schema_of: SchemaOf,
    statement: Statement | None = None,
    *,
    streaming: bool = False,
    average: str = "flink",
    zone: str = "UTC",
) -> BoundQuery:
    """Everything before planning. `schema_of` is called once for each reference to a real table, in the desugared copy,
    and may rename it there with `tsdb.sql.table_ref.bind_reference`.
    """
    if streaming:
        refuse_current_time(query, statement)
    resolved = qualify(desugar(query, streaming=streaming, average=average), schema_of, statement)
    rewritten = rewrite(resolved, streaming=streaming, zone=zone)
    return BoundQuery(to_datafusion(rewritten), rewritten, output_names(resolved))
