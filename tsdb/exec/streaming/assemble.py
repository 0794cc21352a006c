"""From planned queries to something that runs: sources opened, plans compiled, the two put together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from tsdb.exec.streaming.branches import Branches, branch_prefix
from tsdb.exec.streaming.compile import InputSpec, compile_plan
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.hybrid_source import HybridSource
from tsdb.exec.streaming.key_guard import KeyGuard
from tsdb.exec.streaming.late_table import late_name
from tsdb.exec.streaming.operators.constant import Constant
from tsdb.exec.streaming.operators.filter import Filter
from tsdb.exec.streaming.operators.normalize import Normalize
from tsdb.exec.streaming.operators.plain_call import PlainCall
from tsdb.exec.streaming.operators.project import Project
from tsdb.exec.streaming.operators.scan import Scan
from tsdb.exec.streaming.operators.temporal_join import LookupJoin, TemporalJoin
from tsdb.exec.streaming.operators.union import Union
from tsdb.exec.streaming.operators.unnest import Unnest
from tsdb.exec.streaming.pipeline import Feed, Pipeline
from tsdb.exec.streaming.row_time import RowTime
from tsdb.exec.streaming.source import LogSource, RegisteredSource, TableSource
from tsdb.exec.streaming.state_memory import sharing, state_memory
from tsdb.exec.streaming.state_ttl import state_ttl
from tsdb.table.log import log_of
from tsdb.table.table import Table

_PASSING_ON = (Constant, Filter, Normalize, PlainCall, Project, Scan, Union, Unnest)
"""Operators that give on each change of a row."""


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
    def zone(self) -> str:
        """Of the session."""
        ...

    @property
    def state_memory_bytes(self) -> int | None:
        """What its state may hold in memory; None: no limit."""
        ...

    @property
    def state_ttl_ms(self) -> int:
        """After so long state that nothing touches is dropped; 0: never."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where an INSERT writes: its name, its primary key, and the columns that the query's outputs are for, in order.

    takes_all: a key may have any number of rows. It is no part of what identifies a checkpoint.
    """

    name: str
    primary_key: tuple[str, ...]
    columns: tuple[str, ...]
    takes_all: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """A query of an assembly, compiled. keyed: with one row a primary key of the target. driven: the dataflow, with a
    watch over the target's key where there has to be one.

    append_only: it takes no row back as long as nobody deletes or overwrites rows of the append tables it reads.
    changelog: the operators with the changes that each emits under that condition.
    """

    dataflow: Dataflow
    driven: Dataflow | KeyGuard
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


@dataclass(frozen=True, slots=True)
class Assembly:
    """Queries that can run as one stream. bounded: it ends by itself."""

    pipeline: Pipeline
    bounded: bool
    branches: tuple[Branch, ...]

    @property
    def branch(self) -> Branch:
        """Its only query."""
        (only,) = self.branches
        return only

    @property
    def dataflow(self) -> Dataflow:
        """Of its only query."""
        return self.branch.dataflow


def assemble(plan: PlannedQuery, target: Target | None = None) -> Assembly:
    """Open the sources of a plan and compile it. Raises NotSupportedError for what cannot run as a stream."""
    return assemble_all([(plan, target)])


def assemble_all(queries: Sequence[tuple[PlannedQuery, Target | None]]) -> Assembly:
    """Several queries as one: what they read in the same way has one source, so all of them see the same cut."""
    plans = [plan for plan, _ in queries]
    prefixes = [""] if len(plans) == 1 else [branch_prefix(number) for number in range(len(plans))]
    feeds = _feeds(plans, prefixes)
    try:
        with state_memory(plans[0].state_memory_bytes), state_ttl(plans[0].state_ttl_ms):
            branches = tuple(
                _branch(plan, target, _own(feeds, prefix))
                for (plan, target), prefix in zip(queries, prefixes, strict=True)
            )
    except BaseException:
        _close(feeds)
        raise
    relations = [relation for plan in plans for relation in plan.relations.values()]
    bounded = all(_is_bounded(r) or "scan.bounded.watermark" in r.options for r in relations)
    driven = [branch.driven for branch in branches]
    timeless = not any(branch.dataflow.clocked for branch in branches)
    joins_cuts = timeless and all(_may_join_cuts(branch.dataflow) for branch in branches)
    flow = driven[0] if len(driven) == 1 else Branches(driven)
    pipeline = Pipeline(flow, feeds, timeless=timeless, joins_cuts=joins_cuts)
    return Assembly(pipeline, bounded, branches)


def _may_join_cuts(dataflow: Dataflow) -> bool:
    """Whether a version may hold several snapshots: nothing goes by time or arrival, nor is each change given on."""
    operators = [node.operator for node in dataflow.nodes]
    by_arrival = any(isinstance(operator, LookupJoin | TemporalJoin) for operator in operators)
    passes_on = all(isinstance(operator, _PASSING_ON) for operator in operators)
    return not (dataflow.timed or by_arrival or passes_on)


def _feeds(plans: Sequence[PlannedQuery], prefixes: Sequence[str]) -> list[Feed]:
    """The sources of all queries, each of them once. prefixes: of the names of a query's inputs."""
    read = [columns_read(plan.logical) for plan in plans]
    groups: dict[object, list[tuple[int, Relation]]] = {}
    for number, plan in enumerate(plans):
        for relation in plan.relations.values():
            key = (_identity(relation), *sorted(relation.options.items()))
            groups.setdefault(key, []).append((number, relation))
    feeds: list[Feed] = []
    places: Counter[str] = Counter()
    try:
        for same in groups.values():
            number, relation = same[0]
            names = tuple(prefixes[n] + r.name for n, r in same)
            known = all(r.name in read[n] for n, r in same)
            columns = set().union(*(read[n][r.name] for n, r in same)) if known else None
            path = _path(relation)
            place = f"-{places[path]}" if places[path] else ""
            places[path] += 1
            feeds.append(replace(_feed(relation, names, columns, plans[number].context), place=place))
    except BaseException:
        _close(feeds)
        raise
    return feeds


def _close(feeds: Iterable[Feed]) -> None:
    for feed in feeds:
        feed.source.close()


def _own(feeds: Iterable[Feed], prefix: str) -> dict[str, Feed]:
    """The inputs of one query, by the names that its plan has for them."""
    return {name.removeprefix(prefix): feed for feed in feeds for name in feed.inputs if name.startswith(prefix)}


def _branch(plan: PlannedQuery, target: Target | None, inputs: Mapping[str, Feed]) -> Branch:
    declared_inputs = {name: replace(_spec(feed), source=feed.name) for name, feed in inputs.items()}
    prudent = {name: replace(_prudent(feed), source=feed.name) for name, feed in inputs.items()}
    dataflow = compile_plan(plan.logical, prudent, plan.context, prudent=True)
    with sharing(None):
        declared = compile_plan(plan.logical, declared_inputs, plan.context)
    keyed = target is not None and _is_keyed(dataflow, target)
    guarded = target is not None and not keyed and not declared.append_only and not target.takes_all
    driven = _guarded(dataflow, target) if target is not None and guarded else dataflow
    return Branch(dataflow, driven, declared.append_only, target, keyed, declared.explain(changelog=True))


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


def _identity(relation: Relation) -> object:
    source = relation.source
    if isinstance(source, Table):
        return source.path
    return str(source.identifier) if isinstance(source, ConnectorTable) else id(source)


def _path(relation: Relation) -> str:
    """The table of the warehouse that a relation reads, where a consumer keeps its place; '' if it reads none."""
    source = relation.source
    if isinstance(source, SystemTable) and source.table is not None:
        source = source.table
    return source.path if isinstance(source, Table) else ""


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
    if rowtime and late_name(relation) is not None:
        row_time.reads |= set(source.schema.names)
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
