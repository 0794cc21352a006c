"""From a planned query to something that runs: its sources opened, its plan compiled, the two put together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa
from datafusion import SessionContext
from datafusion.plan import LogicalPlan

from tsdb.catalog.catalog import ConnectorTable
from tsdb.catalog.system.contents import audit_batch, binlog_batch
from tsdb.connector import connector_of
from tsdb.connector.connector import Source
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.local_file import read_all
from tsdb.exec.plan import columns_read
from tsdb.exec.relation import FileSource, Registered, Relation, SystemTable
from tsdb.exec.streaming.compile import InputSpec, compile_plan
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.hybrid_source import HybridSource
from tsdb.exec.streaming.key_guard import KeyGuard
from tsdb.exec.streaming.pipeline import Feed, Pipeline
from tsdb.exec.streaming.row_time import RowTime
from tsdb.exec.streaming.source import LogSource, RegisteredSource, TableSource
from tsdb.exec.streaming.state_memory import sharing, state_memory
from tsdb.table.log import log_of
from tsdb.table.table import Table


class PlannedQuery(Protocol):
    """The part of a plan that streaming needs."""

    @property
    def logical(self) -> LogicalPlan:
        """The optimised plan, over empty relations."""
        ...

    @property
    def context(self) -> SessionContext:
        """The context that planned it, with its functions."""
        ...

    @property
    def relations(self) -> Mapping[str, Relation]:
        """By registered name, what the plan scans."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The result, with the names and types that the user sees."""
        ...

    @property
    def state_memory_bytes(self) -> int | None:
        """What its state may hold in memory; None: no limit."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where an INSERT writes: its name, its primary key, and the columns that the query's outputs are for, in order."""

    name: str
    primary_key: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A query that can run as a stream. bounded: it ends by itself. keyed: with one row a primary key of the target.

    append_only: it takes no row back as long as nobody deletes or overwrites rows of the append tables it reads.
    changelog: the operators with the changes that each emits under that condition.
    """

    pipeline: Pipeline
    dataflow: Dataflow
    bounded: bool
    append_only: bool
    target: Target | None = None
    keyed: bool = False
    changelog: str = ""

    @property
    def fingerprint(self) -> str:
        """What the layout of its state depends on: the operators, and the schemas and keys of the inputs."""
        inputs = [
            f"{name}: {spec.mode} {spec.upsert_key} {spec.schema.to_string(show_schema_metadata=False)}"
            for name, spec in sorted(self.dataflow.inputs.items())
        ]
        return "\n".join([str(self.target), self.dataflow.explain(), *inputs])


def assemble(plan: PlannedQuery, target: Target | None = None) -> Assembly:
    """Open the sources of a plan and compile it. Raises NotSupportedError for what cannot run as a stream."""
    feeds: list[Feed] = []
    read = columns_read(plan.logical)
    try:
        for same in _grouped(plan.relations.values()):
            names = tuple(relation.name for relation in same)
            columns = set().union(*(read[name] for name in names)) if read.keys() >= set(names) else None
            feeds.append(_feed(same[0], names, columns, plan.context))
        inputs = {name: replace(_spec(feed), source=feed.name) for feed in feeds for name in feed.inputs}
        prudent = {name: replace(_prudent(feed), source=feed.name) for feed in feeds for name in feed.inputs}
        with state_memory(plan.state_memory_bytes) as memory:
            dataflow = compile_plan(plan.logical, prudent, plan.context, prudent=True)
        declared = compile_plan(plan.logical, inputs, plan.context)
        append_only = declared.append_only
    except BaseException:
        for feed in feeds:
            feed.source.close()
        raise
    bounded = all(_is_bounded(r) or "scan.bounded.watermark" in r.options for r in plan.relations.values())
    keyed = target is not None and _is_keyed(dataflow, target)
    guarded = target is not None and not keyed and not append_only
    with sharing(memory):
        driven = _guarded(dataflow, target) if target is not None and guarded else dataflow
    changelog = declared.explain(changelog=True)
    return Assembly(Pipeline(driven, feeds), dataflow, bounded, append_only, target, keyed, changelog)


def _is_keyed(dataflow: Dataflow, target: Target) -> bool:
    """The plan shows that its result has at most one row for each primary key of the target."""
    if dataflow.upsert_key is None or not target.primary_key:
        return False
    into = dict(zip(dataflow.schema.names, target.columns, strict=False))
    return all(into.get(name) in target.primary_key for name in dataflow.upsert_key)


def _guarded(dataflow: Dataflow, target: Target) -> Dataflow | KeyGuard:
    """With a watch over the target's key, if rows may be taken back."""
    fits = len(dataflow.schema) == len(target.columns) and set(target.primary_key) <= set(target.columns)
    if not target.primary_key or not fits:  # what does not fit is refused by the sink
        return dataflow
    key = [target.columns.index(name) for name in target.primary_key]
    return KeyGuard(dataflow, key, target.primary_key, target.name)


def _grouped(relations: Iterable[Relation]) -> list[list[Relation]]:
    """References that read the same in the same way share a source, so that they see the same cut."""
    groups: dict[object, list[Relation]] = {}
    for relation in relations:
        groups.setdefault((_identity(relation), *sorted(relation.options.items())), []).append(relation)
    return list(groups.values())


def _identity(relation: Relation) -> object:
    source = relation.source
    if isinstance(source, Table):
        return source.path
    return str(source.identifier) if isinstance(source, ConnectorTable) else id(source)


_LOGS = {"audit_log": audit_batch, "binlog": binlog_batch}


def _feed(relation: Relation, names: tuple[str, ...], wanted: set[str] | None, context: SessionContext) -> Feed:
    """The source of a relation, opened, with what it computes."""
    source = relation.source
    if not isinstance(source, Table | ConnectorTable) or wanted is None:
        return Feed(_open(relation, wanted), names)
    columns = columns_of(source.schema)
    rowtime = columns.watermark is not None and columns.watermark.column in wanted
    if not rowtime and not wanted & columns.computed.keys():
        return Feed(_open(relation, wanted), names)
    row_time = RowTime(columns, relation, wanted, context)
    opened = _open(relation, row_time.reads)
    try:
        row_time.check(takes_back=opened.mode != "append")
    except BaseException:
        opened.close()
        raise
    return Feed(opened, names, row_time=row_time)


def _open(relation: Relation, columns: set[str] | None) -> Source:
    """columns: those that the query reads; None: not known."""
    source = relation.source
    if isinstance(source, Table):
        # rows without any column could not be counted
        some = columns or (None if columns is None else {source.schema.names[0]})
        log = None if _is_bounded(relation) or "consumer-id" in relation.options else log_of(source)
        if log is not None:
            return HybridSource(source, log, relation.options, some)
        return TableSource(source, relation.options, bounded=_is_bounded(relation), columns=some)
    if isinstance(source, Registered | SystemTable):
        pack = _LOGS.get(source.kind) if isinstance(source, SystemTable) and source.table is not None else None
        if pack is not None:
            assert isinstance(source, SystemTable) and source.table is not None
            return LogSource(source.table, relation.options, source.schema, pack, bounded=_is_bounded(relation))
        return RegisteredSource(source.rows)
    if isinstance(source, FileSource):
        return RegisteredSource(read_all(source))
    return connector_of(source).source(source, bounded=_is_bounded(relation))


def _is_bounded(relation: Relation) -> bool:
    """Whether the source ends: by its nature, or because the user wants the state of now."""
    source = relation.source
    if isinstance(source, SystemTable) and source.kind in _LOGS and source.table is not None:
        source = source.table
    if not isinstance(source, Table | ConnectorTable):
        return True
    mode = relation.options.get("scan.bounded.mode", source.options.get("scan.bounded.mode"))
    ends = mode is not None and mode.lower() != "unbounded"
    return ends or (isinstance(source, ConnectorTable) and "number-of-rows" in source.options)


def _prudent(feed: Feed) -> InputSpec:
    """What operators must be ready for: an append table may have rows deleted or overwritten."""
    spec, source = _spec(feed), feed.source
    takes_back = spec.mode == "append" and isinstance(source, TableSource | HybridSource) and source.may_take_back
    return replace(spec, mode="all", grows=True) if takes_back else spec


def _spec(feed: Feed) -> InputSpec:
    source, row_time = feed.source, feed.row_time
    if row_time is None:
        return InputSpec(source.schema, source.upsert_key, source.mode)
    schema, column = row_time.schema(source.schema), row_time.column
    return InputSpec(schema, source.upsert_key, source.mode, column, row_time.arrival, row_time.early)
