"""From a query to the logical plan that both executors share: names become relations, SQL becomes DataFusion's
optimised plan.

Each reference to a table gets a relation of its own, under a name of its own, so that hints, versions and pushed-down
filters belong to the reference. In batch all references of one statement to one table see one snapshot. For
streaming, relations are registered as empty in-memory tables: nothing is read, and filters stay in Filter nodes of
the plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import Literal

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.plan import LogicalPlan
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.catalog.system import SYSTEM_TABLES
from tsdb.errors import NotSupportedError, ProgrammingError, TableNotFound
from tsdb.exec.batch.dataset import Control, ScanDataset
from tsdb.exec.computed_columns import full_schema, with_computed
from tsdb.exec.engine import Engine, our_schema, settings_for
from tsdb.exec.failure import ErrorScope, translated
from tsdb.exec.functions import Functions
from tsdb.exec.local_file import looks_like_file
from tsdb.exec.markers import register_markers
from tsdb.exec.names import TEMPORARY, Names
from tsdb.exec.relation import FileSource, Registered, Relation, Source, SystemTable, View
from tsdb.exec.table_functions import cast_constants, write_out_table_functions
from tsdb.exec.temporal import join_as_of
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import BY_KEY, SCAN, check_table_options, parse_duration_ms
from tsdb.sql.bind import bind_query
from tsdb.sql.depth import SUBQUERIES_MAX, too_deep
from tsdb.sql.functions.as_text import mark_volatile
from tsdb.sql.parser import parse_query
from tsdb.sql.script import position_at, position_of
from tsdb.sql.statements import Statement, TableName
from tsdb.sql.table_ref import bind_reference, inline_view, references, table_options, versions_in_zone
from tsdb.table.hold import hold
from tsdb.table.incremental import between
from tsdb.table.refs import INCREMENTAL_OPTIONS, TRAVEL_OPTIONS, is_incremental, resolve_snapshot
from tsdb.table.table import Table
from tsdb.time_zone import session_zone

Mode = Literal["batch", "streaming"]

FILE_NUMBER = "__file"
"""A column that tells the files of a table apart, for copy on write."""

_VIEW_DEPTH_MAX = 32
_STATE_TTL_HINT = re.compile(r"/\*\+\s*STATE_TTL\s*\(", re.IGNORECASE)
_VERSION_OPTIONS = (*TRAVEL_OPTIONS, "scan.mode")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A planned query.

    logical: the optimised plan; its scans have the registered names. relations: by registered name. schema: of the
    result, in our types and under the names that the user sees. text: the SQL that DataFusion planned. frame: the
    plan, ready to run in `context`. settings: of DataFusion, for this query. state_ttl_ms: 'table.exec.state.ttl'.
    references: of the relations, in order, as they were before they got their names. zone: of the session.
    """

    logical: LogicalPlan
    context: SessionContext
    relations: Mapping[str, Relation]
    schema: pa.Schema
    text: str
    frame: DataFrame
    engine: Engine
    scope: ErrorScope
    control: Control
    settings: tuple[tuple[str, str], ...] = ()
    state_ttl_ms: int = 0
    references: tuple[exp.Table, ...] = ()
    zone: str = "UTC"

    @property
    def state_memory_bytes(self) -> int | None:
        """What the state of it as a stream may hold in memory."""
        return self.engine.state_memory_bytes


def plan_query(
    query: exp.Query,
    names: Names,
    engine: Engine,
    session_options: Mapping[str, str],
    mode: Mode,
    statement: Statement | None = None,
    *,
    snapshots: dict[str, Snapshot | None] | None = None,
    numbered_files: bool = False,
) -> QueryPlan:
    """Plan a query whose parameters are bound. Raises BindError and its kinds, or NotSupportedError.

    snapshots: which snapshot of each table (by path) the statement has seen before; filled. numbered_files: the first
    table that the query reads has a column `FILE_NUMBER` more.
    """
    control = Control()
    streaming = mode == "streaming"
    query = query.copy()
    join_as_of(query, names, statement, streaming=streaming)
    expanded = _with_our_constants(expand_views(query, names, statement))
    join_as_of(expanded, names, statement, streaming=streaming)
    _refuse_too_deep(expanded, statement)
    zone = session_zone(session_options.get("table.local-time-zone", "UTC"))
    versions_in_zone(expanded, zone)
    _name_places(expanded, names)
    mark_volatile(expanded, engine.functions.volatile)
    cast_constants(expanded, engine.functions.parameters)
    write_out_table_functions(expanded, engine.functions.tables, statement)
    if mode == "batch":
        _write_out_computed(expanded, names, statement, FILE_NUMBER if numbered_files else None)
    if mode == "streaming":
        _refuse_volatile(expanded, engine.functions, statement)
        _refuse_state_ttl_hint(statement)
    pinned = {} if snapshots is None else snapshots
    taken = {cte.alias for cte in expanded.find_all(exp.CTE)}
    settings = settings_for(expanded)
    context = engine.context(settings=settings)
    binder = _Binder(names, context, session_options, mode, statement, control, taken, pinned, numbered_files)
    if mode == "streaming":
        register_markers(context)
    average = session_options.get("sql.average", "flink")
    bound = bind_query(expanded, binder.schema_of, statement, streaming=streaming, average=average, zone=zone)
    shown = {relation.name: relation.shown for relation in binder.relations.values()}
    scope = ErrorScope(statement, query, shown, control.failures)
    with translated(scope):
        frame = binder.context.sql(bound.sql)
        logical = frame.optimized_logical_plan()
        # only an analysed plan has the types that rows come in: before, a UNION has those of its first part
        schema = our_schema(binder.context.create_dataframe_from_logical_plan(logical).schema(), bound.names)
    ttl_ms = int(parse_duration_ms(session_options.get("table.exec.state.ttl", "0 ms"), "table.exec.state.ttl"))
    return QueryPlan(
        logical, binder.context, binder.relations, schema, bound.sql, frame, engine, scope, control, settings, ttl_ms,
        tuple(binder.references), zone,
    )  # fmt: skip


def same_relations(
    plan: QueryPlan, names: Names, session_options: Mapping[str, str], statement: Statement, control: Control
) -> dict[str, Relation] | None:
    """The relations of a batch plan over stored tables as they are now; None if a table is another one."""
    binder = _Binder(names, plan.context, session_options, "batch", statement, control, set(), {}, False)
    relations: dict[str, Relation] = {}
    for reference, relation in zip(plan.references, plan.relations.values(), strict=True):
        found = names.source(reference, statement)
        if not isinstance(found, Table) or not isinstance(relation.source, Table):
            return None
        made = binder.relation(found, relation.name, relation.shown, table_options(reference), reference)
        now = made.source
        if not isinstance(now, Table) or (now.path, now.branch) != (relation.source.path, relation.source.branch):
            return None
        if now.schema != relation.source.schema or not made.schema.equals(relation.schema, check_metadata=True):
            return None
        relations[relation.name] = made
    return relations


def _write_out_computed(query: exp.Query, names: Names, statement: Statement | None, extra: str | None) -> None:
    """Computed columns where tables that have some are read. extra: one column more, of the first table."""
    for number, reference in enumerate(references(query)):
        found = names.source(reference, statement)
        if isinstance(found, Table | ConnectorTable):
            with_computed(reference, found.schema, extra if number == 0 else None)


def _refuse_too_deep(query: exp.Query, statement: Statement | None) -> None:
    deepest = too_deep(query)
    if deepest is not None:
        raise ProgrammingError(
            f"more than {SUBQUERIES_MAX} subqueries stand inside one another; join them, or name them with WITH",
            position=position_of(deepest, statement),
        )


def _name_places(query: exp.Query, names: Names) -> None:
    """CURRENT_DATABASE(), CURRENT_SCHEMA() and CURRENT_CATALOG() as the constants that they are."""
    places = {"current_database": names.database, "current_schema": names.database}
    places["current_catalog"] = names.catalogs.current.name
    for call in list(query.find_all(exp.Anonymous)):
        place = places.get(str(call.this).lower())
        if place is not None and not call.expressions:
            value: exp.Expr = exp.Literal.string(place)
            call.replace(
                exp.alias_(value, f"{call.this}()", quoted=True) if isinstance(call.parent, exp.Select) else value
            )


def _refuse_volatile(query: exp.Query, functions: Functions, statement: Statement | None) -> None:
    for call in query.find_all(exp.Anonymous):
        if str(call.this).lower() in functions.volatile:
            raise NotSupportedError(
                f"function `{call.this}` has side effects: a stream could not take back what it once gave",
                position=position_of(call, statement),
            )


def _refuse_state_ttl_hint(statement: Statement | None) -> None:
    found = _STATE_TTL_HINT.search(statement.text) if statement is not None else None
    if found is not None and statement is not None:
        raise NotSupportedError(
            "the hint STATE_TTL is not supported: a time to live is the same for all of a query; "
            "SET 'table.exec.state.ttl' = '…' instead",
            position=position_at(statement.script, statement.script.index(found[0])),
        )


@dataclass(slots=True)
class _Binder:
    """Makes a relation of each reference, and registers it."""

    names: Names
    context: SessionContext
    session_options: Mapping[str, str]
    mode: Mode
    statement: Statement | None
    control: Control
    taken: set[str]
    snapshots: dict[str, Snapshot | None]
    numbered_files: bool
    relations: dict[str, Relation] = field(default_factory=dict)
    references: list[exp.Table] = field(default_factory=list)

    def schema_of(self, reference: exp.Table) -> pa.Schema:
        """The columns of a reference, which from now on means its relation."""
        found = self.names.source(reference, self.statement)
        assert not isinstance(found, View), "views are expanded before"
        if isinstance(found, FileSource) and not reference.alias:
            stem = PurePath(found.paths[0]).name.partition(".")[0]
            reference.set("alias", exp.TableAlias(this=exp.to_identifier(stem, quoted=True)))
        shown = reference.alias or reference.name
        self.references.append(reference.copy())
        relation = self.relation(found, self._unused(reference.name), shown, table_options(reference), reference)
        relation = replace(relation, zone=session_zone(self.session_options.get("table.local-time-zone", "UTC")))
        self.relations[relation.name] = relation
        self._register(relation)
        bind_reference(reference, relation.name)
        return relation.schema

    def relation(
        self, source: Source, name: str, shown: str, hint: Mapping[str, str], reference: exp.Table
    ) -> Relation:
        """The relation of what a reference stands for. hint: the options at its place."""
        if isinstance(source, SystemTable) and source.table is not None:
            return self._system_table(source, source.table, name, shown, hint)
        if isinstance(source, Registered | SystemTable):
            if hint:
                raise NotSupportedError(
                    f"`{source.name}` has no versions and takes no options",
                    position=position_of(reference, self.statement),
                )
            schema = source.schema if isinstance(source, SystemTable) else source.rows.schema
            return Relation(name, shown, schema, source)
        if isinstance(source, FileSource):
            return Relation(name, shown, source.schema, source, hint)
        if isinstance(source, Table):
            return self._table(source, name, shown, hint)
        options = {**self._scan_options(hint), **hint}
        changed = source.with_options(dict(hint))
        key = tuple(source.schema.primary_keys) or None
        schema = self._all_columns(source.schema)
        return Relation(name, shown, schema, changed, options, key, append_only=key is None)

    def _all_columns(self, schema: TableSchema) -> pa.Schema:
        """The columns of a relation: in batch the stored ones, over which the query itself computes the others."""
        return schema.arrow_schema if self.mode == "batch" else full_schema(schema, self.context)

    def _table(self, table: Table, name: str, shown: str, hint: Mapping[str, str]) -> Relation:
        check_table_options(hint)
        options = {**self._scan_options(hint), **hint}
        changed = table.for_statement(hint)
        key = tuple(table.schema.primary_keys) or None
        snapshot, wanted = None, None
        if self.mode == "batch" and is_incremental({**table.options.values, **options}):
            wanted = between(table, {**table.options.values, **options})
            earliest = table.snapshots.earliest_id()
            first = None if earliest is None else table.snapshots.snapshot(earliest)
            for needed in (wanted.start or first, wanted.end):
                hold(table, needed, self.control)
        elif self.mode == "batch":
            snapshot = self._snapshot(changed, options)
            if (
                snapshot is not None
                and snapshot.schema_id != table.schema.id
                and any(k in options for k in TRAVEL_OPTIONS)
            ):
                changed = changed.with_schema(table.schemas.schema(snapshot.schema_id))
        schema = self._all_columns(changed.schema)
        if self.numbered_files and not self.relations:
            schema = schema.append(pa.field(FILE_NUMBER, pa.int64(), nullable=False))
        only_grows = key is None
        return Relation(name, shown, schema, changed, options, key, only_grows, snapshot=snapshot, between=wanted)

    def _system_table(
        self, source: SystemTable, table: Table, name: str, shown: str, hint: Mapping[str, str]
    ) -> Relation:
        """One that takes options: it is read, or followed, as they say."""
        check_table_options(hint)
        options = {**self._scan_options(hint), **hint}
        of = table.for_statement(options)
        changed = replace(source, table=of, read=partial(SYSTEM_TABLES[source.kind], of))
        return Relation(name, shown, source.schema, changed, options)

    def _snapshot(self, table: Table, options: Mapping[str, str]) -> Snapshot | None:
        if _travels(options) or _travels(table.options.values):
            wanted = {**table.options.values, **options}
            version = [f"{key}={wanted[key]}" for key in _VERSION_OPTIONS if key in wanted]
            return self._seen(table, f"{table.metadata_path} {version}", lambda: resolve_snapshot(table, wanted))
        return self._seen(table, table.metadata_path, table.latest_snapshot)

    def _seen(self, table: Table, key: str, find: Callable[[], Snapshot | None]) -> Snapshot | None:
        """What the statement has seen under this key before, else what is there now; it is kept from expiring."""
        if key not in self.snapshots:
            self.snapshots[key] = find()
        hold(table, self.snapshots[key], self.control)
        return self.snapshots[key]

    def _scan_options(self, hint: Mapping[str, str]) -> dict[str, str]:
        """The session's options that concern scans; a version in the hint overrules the session's."""
        found = {
            key: value for key, value in self.session_options.items() if key in BY_KEY and BY_KEY[key].scope == SCAN
        }
        places = (*TRAVEL_OPTIONS, *INCREMENTAL_OPTIONS)
        if any(key in hint for key in places):
            found = {key: value for key, value in found.items() if key not in places}
        return found

    def _unused(self, name: str) -> str:
        """`orders`, `orders__2`, …: never one that the query itself gives to something."""
        candidate, number = name, 1
        while candidate in self.taken:
            number += 1
            candidate = f"{name}__{number}"
        self.taken.add(candidate)
        return candidate

    def _register(self, relation: Relation) -> None:
        plain = pa.schema([field.remove_metadata() for field in relation.schema])
        if self.mode == "streaming" or isinstance(relation.source, Registered | SystemTable):
            self.context.register_record_batches(quoted(relation.name), [[_no_rows(plain)]])
        else:
            # only planned with: what the plan keeps alive holds no snapshot
            self.context.register_dataset(quoted(relation.name), ScanDataset(plain, list, Control(), 1))


def expand_views(query: exp.Query, names: Names, statement: Statement | None, depth: int = 0) -> exp.Query:
    """A copy of `query` with every view replaced by its query, whose bare names mean the view's own database."""
    if depth > _VIEW_DEPTH_MAX:
        raise ProgrammingError("views refer to each other in a circle, or are nested too deeply")
    expanded = query.copy()
    for reference in references(expanded):
        found = names.source(reference, statement)
        if isinstance(found, View):
            try:
                body = view_query(found, names, depth)
            except TableNotFound as err:
                if statement is not None:
                    err.message = f"in view `{reference.name}`: {err.message}"
                    err.position = position_of(reference.this, statement)
                raise
            inline_view(reference, body, found.columns)
    return expanded


def all_of(view: View) -> exp.Query:
    """SELECT * FROM the view, wherever it is."""
    parts = (TEMPORARY,) if view.temporary else (view.catalog, view.identifier.database)
    names = [exp.to_identifier(part, quoted=True) for part in (*parts, view.identifier.name)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), reversed(names), strict=False)))
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=table))


def view_query(view: View, names: Names, depth: int = 0) -> exp.Query:
    """The stored query, itself without views; what is temporary stays so inside it."""
    inner = parse_query(view.query)
    for table in references(inner):
        if not table.args.get("db") and names.is_temporary(table.name):
            table.set("db", exp.to_identifier(TEMPORARY, quoted=True))
            continue
        own = TableName((view.catalog, view.identifier.database, table.name))
        if not table.args.get("db") and looks_like_file(table.name) and names.find(own) is None:
            continue
        for part, name in (("db", view.identifier.database), ("catalog", view.catalog)):
            if not table.args.get(part):
                table.set(part, exp.to_identifier(name, quoted=True))
    return expand_views(inner, names, None, depth + 1)


def _with_our_constants(query: exp.Query) -> exp.Query:
    """1e3 is a DOUBLE, as in Flink (DataFusion would read it as a decimal, which plain 1.5 is), and a TIME has the unit
    of our columns, without which DataFusion would not compare them.
    """
    for literal in list(query.find_all(exp.Literal)):
        if not literal.is_string and "e" in literal.name.lower():
            literal.replace(exp.Cast(this=exp.Literal.string(literal.name), to=exp.DataType.build("DOUBLE")))
    for cast in list(query.find_all(exp.Cast)):
        if cast.to.this is exp.DataType.Type.TIME:
            sizes = [size.name for size in cast.to.expressions]
            made: exp.Expr = cast.copy()
            for unit in ("Second", "Millisecond") if sizes == ["0"] else ("Millisecond",):
                made = exp.Anonymous(this="arrow_cast", expressions=[made, exp.Literal.string(f"Time32({unit})")])
            cast.replace(made)
    return query


def quoted(name: str) -> str:
    """A name as the functions of a DataFusion context take it: exactly this one, dots and capitals included."""
    return '"' + name.replace('"', '""') + '"'


def _travels(options: Mapping[str, str]) -> bool:
    """The options ask for another snapshot than the latest."""
    return any(key in options for key in _VERSION_OPTIONS)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def plan_nodes(plan: LogicalPlan) -> Iterator[LogicalPlan]:
    """The plan's nodes, outermost first; plans inside expressions are not visited."""
    pending: list[LogicalPlan] = [plan]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(list(_inputs(node))))


def columns_read(logical: LogicalPlan) -> dict[str, set[str]]:
    """By relation, the columns that the scans of a plan give out."""
    read: dict[str, set[str]] = {}
    for node in plan_nodes(logical):
        variant = node.to_variant()
        if type(variant).__name__ == "TableScan":
            name = variant.table_name()
            names = (str(flat).removeprefix(f"{name}.") for flat in variant.schema().field_names())
            read.setdefault(name, set()).update(names)
    return read


def _inputs(plan: LogicalPlan) -> Iterable[LogicalPlan]:
    inputs: Iterable[LogicalPlan] = plan.inputs()
    return inputs
