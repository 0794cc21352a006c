"""DataFusion, set up once: the configuration that every statement of a session runs under.

A context costs a tenth of a millisecond, so each statement gets its own and names never clash; the runtime (memory
pool, spill files, caches of Parquet footers) is shared by all statements of a session.
"""

from __future__ import annotations

import os
from functools import cache

import pyarrow as pa
from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.exec.functions import Functions
from tsdb.sql.functions.collections import MAP_UNIONS

PARTITIONS = max(os.cpu_count() or 1, 1)
"""How many threads one query uses."""

_SHARED_BUILD_BYTES, _SHARED_BUILD_ROWS = 256 << 20, 4 << 20
_FROM = (exp.From, exp.Join, exp.CTE)
_SETTINGS = {
    "datafusion.execution.parquet.schema_force_view_types": "false",
    "datafusion.sql_parser.parse_float_as_decimal": "true",
    # our own parser refuses what is nested too deeply; beyond its limit DataFusion's takes `NOT (` for a function
    "datafusion.sql_parser.recursion_limit": "400",
    "datafusion.sql_parser.map_string_types_to_utf8view": "false",
    "datafusion.optimizer.expand_views_at_output": "true",
    # what may be NULL and what not differs between its two kinds of plans (`x IS NOT TRUE` as a group key)
    "datafusion.execution.skip_physical_aggregate_schema_check": "true",
    # it filters by the bounds of some of several min and max, and so loses rows that others need
    "datafusion.optimizer.enable_aggregate_dynamic_filter_pushdown": "false",
    # with few threads it costs less to build one table for all of them than to deal out both sides of a join
    "datafusion.optimizer.hash_join_single_partition_threshold": str(_SHARED_BUILD_BYTES // PARTITIONS),
    "datafusion.optimizer.hash_join_single_partition_threshold_rows": str(_SHARED_BUILD_ROWS // PARTITIONS),
}

KEEPS_FIELDS = ("datafusion.optimizer.enable_leaf_expression_pushdown", "false")
"""Fields of structs, and the place of a row in its file, are not taken out of expressions to be read by the scan."""

_SORT_KEEPS_MAX, _SORTS = 10 << 20, 64


class Engine:
    """The runtime of a session. memory_limit_bytes: what a query may use before it spills to disk; None: no limit."""

    def __init__(self, memory_limit_bytes: int | None = None, functions: Functions | None = None) -> None:
        """functions: the user's own, known to every context from when they are added."""
        self.memory_limit_bytes = memory_limit_bytes
        self.state_memory_bytes: int | None = None
        """What the state of a streaming query may hold in memory; None: no limit."""
        self.functions = Functions() if functions is None else functions
        self._runtime = _runtime(memory_limit_bytes)

    def context(
        self, *, statistics: bool = True, swaps_joins: bool = True, settings: tuple[tuple[str, str], ...] = ()
    ) -> SessionContext:
        """A new context without tables.

        statistics: whether it believes those of whole files. swaps_joins: whether the sides of a join may change
        places. settings: what this one query needs.
        """
        if self.memory_limit_bytes is not None:
            # each sort keeps so much to itself; there are some in a plan, in each of its partitions
            kept = min(_SORT_KEEPS_MAX, self.memory_limit_bytes // _SORTS)
            settings = (("datafusion.execution.sort_spill_reservation_bytes", str(kept)), *settings)
        context = SessionContext(_config(statistics, swaps_joins, settings), self._runtime)
        self.functions.register(context)
        return context


@cache
def _config(statistics: bool, swaps_joins: bool, settings: tuple[tuple[str, str], ...]) -> SessionConfig:
    chosen = {
        "datafusion.execution.collect_statistics": str(statistics).lower(),
        "datafusion.optimizer.join_reordering": str(swaps_joins).lower(),
    }
    return SessionConfig(_SETTINGS | chosen | dict(settings)).with_target_partitions(PARTITIONS)


def settings_for(query: exp.Expr) -> tuple[tuple[str, str], ...]:
    """What DataFusion must be told for one query."""
    settings = []
    calls = (str(node.this).upper() for node in query.find_all(exp.Anonymous))
    if query.find(exp.Lambda, exp.Comprehension) is not None or any(
        name in MAP_UNIONS for name in calls
    ):  # only this grammar has `x -> x + 1`
        settings.append(("datafusion.sql_parser.dialect", "duckdb"))
    inside = (node for node in query.find_all(exp.Subquery, exp.Exists, exp.In) if not isinstance(node.parent, _FROM))
    if any(node.find(exp.Query) is not None for node in inside):
        # it takes a field of a struct out of a subquery, and then does not find it
        settings.append(KEEPS_FIELDS)
    if any(_repeats(select) for union in query.find_all(exp.SetOperation) for select in union.find_all(exp.Select)):
        # it takes the order of one of two equal columns of a UNION for that of the other, and then does not find it
        settings.append(("datafusion.optimizer.repartition_sorts", "false"))
    return tuple(settings)


def _repeats(select: exp.Select) -> bool:
    """Whether it gives one value under two names."""
    values = [item.unalias() for item in select.expressions]
    return len(set(values)) < len(values)


def _runtime(memory_limit_bytes: int | None) -> RuntimeEnvBuilder:
    builder = RuntimeEnvBuilder().with_disk_manager_os()
    if memory_limit_bytes is None:
        return builder.with_unbounded_memory_pool()
    return builder.with_fair_spill_pool(memory_limit_bytes)


def our_schema(schema: pa.Schema, names: tuple[str, ...] | None = None) -> pa.Schema:
    """A schema of DataFusion in the types that our tables have, under the names that the user sees."""
    shown = names if names is not None else schema.names
    if len(shown) != len(schema):
        raise NotSupportedError("UNNEST of a row in SELECT, which gives several columns: name its fields, r.a, r.b")
    fields = [pa.field(name, _our_type(f.type), f.nullable) for name, f in zip(shown, schema, strict=True)]
    return pa.schema(fields)


def our_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in `schema`, column by column. Raises ArrowInvalid for a number that does not fit."""
    columns = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema) if columns else batch


def zoned_schema(schema: pa.Schema, zone: str) -> pa.Schema:
    """The schema with a zone in place of the UTC that every TIMESTAMP_LTZ has here."""
    return schema if zone == "UTC" else pa.schema([field.with_type(_changed(field.type, zone)) for field in schema])


_PLAIN = {
    pa.string_view(): pa.string(),
    pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_binary(): pa.binary(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}


def _our_type(kind: pa.DataType) -> pa.DataType:
    """Without views, unsigned numbers and dictionaries, which no table column has, and in UTC."""
    return _changed(kind, "UTC")


def _changed(kind: pa.DataType, zone: str) -> pa.DataType:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, zone)
    if pa.types.is_dictionary(kind):
        return _changed(kind.value_type, zone)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_changed_field(kind.value_field, zone))
    if pa.types.is_struct(kind):
        return pa.struct([_changed_field(field, zone) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_changed_field(kind.key_field, zone), _changed_field(kind.item_field, zone))
    return kind


def _changed_field(field: pa.Field, zone: str) -> pa.Field:
    return field.with_type(_changed(field.type, zone))
