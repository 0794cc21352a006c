"""A session: the life of one statement on one screen: parse, bind its parameters, plan, and run it by kind and mode.

`HANDLERS` has the function for every kind of statement. Statements run one after the other and each commits by
itself; 'execution.mode' decides whether a query gives rows or changes, and whether INSERT … SELECT is a commit or a
job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from tsdb.cancellation import check_cancelled
from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import (
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    SnapshotExpired,
    nearest,
)
from tsdb.exec import (
    catalog_change,
    create_text,
    definition,
    explain,
    job_statements,
    materialized,
    replacement,
    show,
    summary,
)
from tsdb.exec.attempts import retried
from tsdb.exec.batch import conflict, copy_from, copy_to, dml, merge_into, point_lookup, query, row_change, time_text
from tsdb.exec.catalogs import Catalogs, Mounted
from tsdb.exec.continuous import submit, submit_set, submit_watch
from tsdb.exec.engine import Engine
from tsdb.exec.failure import storage_failure
from tsdb.exec.functions import Functions, built_in, create_function, drop_function
from tsdb.exec.information_schema import Holder
from tsdb.exec.known_plans import KnownPlans
from tsdb.exec.names import Names
from tsdb.exec.plan import Mode, QueryPlan, all_of, plan_query
from tsdb.exec.planner import Planner
from tsdb.exec.relation import View
from tsdb.exec.result import BatchResult, JobHandle, Result, RowCount, in_zone, one_text, rows_of
from tsdb.exec.session_options import SessionOptions
from tsdb.exec.streaming.changelog import open_changelog
from tsdb.exec.streaming.draft import check_targets
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import S3_OPTIONS, Storage, open_warehouse
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.options import BY_KEY, SCAN
from tsdb.procedure import PROCEDURES, REFUSED, Procedure
from tsdb.procedure import bind as arguments
from tsdb.sql import catalog_statements as more
from tsdb.sql import materialized as kept
from tsdb.sql import statements as sql
from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.parameters import arranged, bind
from tsdb.sql.parser import parse_one
from tsdb.sql.prepared import ParsedQueries, Prepared
from tsdb.sql.script import place_in
from tsdb.sql.table_ref import references
from tsdb.table.compaction_watch import CompactionWatch
from tsdb.table.materialized import is_materialized
from tsdb.table.table import Table

if TYPE_CHECKING:
    from sqlglot import exp
_APPENDED = "rows that are appended"


def open_session(warehouse: str, options: Mapping[str, str]) -> Session:
    """A session on a warehouse, which is made if it is not there. `:memory:` lasts as long as the session.

    options: of the session, and those of an object store.
    """
    checked = SessionOptions({key: value for key, value in options.items() if key not in S3_OPTIONS})
    place = {key: value for key, value in options.items() if key in S3_OPTIONS}
    return Session(open_warehouse(warehouse, place), checked)


class Session:
    """One user's view of one warehouse. Used by one thread at a time; jobs run in threads of their own."""

    def __init__(self, storage: Storage, options: SessionOptions) -> None:
        self.names = Names(Catalogs(storage))
        self.options = options
        self.jobs = JobRegistry(storage.file_io, storage.root)
        self._storage = storage
        self.functions = Functions()
        self._parsed = ParsedQueries()
        self._plans = KnownPlans()
        self._prepared = Prepared()
        self._engine = Engine(options.memory_limit_bytes, self.functions)
        self._renew_engine()
        self.names.described = Holder(self.names, self._view_columns, self._routines).table

    def execute(self, text: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[Result]:
        """Run the statements of `text` one after the other; each runs when its result is asked for.

        params: for the placeholders of all statements. The whole text is parsed before anything runs.
        """
        statements, wanted = self._parsed.parse(text)
        if isinstance(params, Mapping) or "$" in text or ":" in text:
            params = arranged(statements, params)
        if sum(wanted) != len(params):
            raise ProgrammingError(
                f"the statement has {sum(wanted)} placeholder{'s' * (sum(wanted) != 1)} `?`, "
                f"but {len(params)} value{'s' * (len(params) != 1)} were given"
            )
        return self._run_all(statements, wanted, list(params))

    def execute_one(self, text: str, params: Sequence[Any] = ()) -> Result:
        """Run `text`, which is one statement."""
        results = list(self.execute(text, params))
        if len(results) != 1:
            raise ProgrammingError(f"one statement is expected here, not {len(results)}")
        return results[0]

    def register(self, name: str, rows: pa.Table) -> None:
        """Let `name` stand for these rows in this session."""
        self.names.register(name, rows)

    def read_variables(self, variable: Callable[[str], pa.Table | None]) -> None:
        """Where a bare name that no table has is looked up, unless 'python.replacement-scans' is off."""
        self.names.variable = lambda name: variable(name) if self.options.reads_variables else None

    def append(self, name: str, rows: pa.Table, *, by_name: bool) -> int:
        """Insert rows, in one commit whatever the mode; how many."""
        columns = " BY NAME" if by_name else ""
        statement = cast(sql.Insert, parse_one(f"INSERT INTO {name}{columns} SELECT * FROM `{_APPENDED}`"))
        target = self.names.written(statement.target, statement)
        if isinstance(target, Table) and dml.are_columns(target, rows.schema, by_name=by_name):
            return dml.append(target, rows, by_name=by_name)
        self.register(_APPENDED, rows)
        try:
            statement, target = self._insert_of(statement)
            return dml.insert(statement, target, self._planner(statement))
        finally:
            self.unregister(_APPENDED)

    def unregister(self, name: str) -> None:
        """Forget a registered relation. Raises ProgrammingError if there is none."""
        if not self.names.unregister(name):
            raise ProgrammingError(f"nothing is registered under `{name}`")

    def close(self) -> None:
        """Stop the jobs of this session, each with a last checkpoint, and free the warehouse."""
        self.jobs.close()
        self.names.close()

    # --- one statement

    def run(self, statement: sql.Statement) -> Iterator[Result]:
        """The result, or results, of one statement whose parameters are bound."""
        handler = HANDLERS.get(type(statement))
        if handler is None:
            raise NotSupportedError(f"{type(statement).__name__} is not supported", position=statement.position)
        try:
            found = handler(self, statement)
            if isinstance(found, Iterator):
                yield from found
            else:
                yield RowCount() if found is None else found
        except OSError as err:
            raise storage_failure(err) from err

    def plan(self, node: exp.Query, statement: sql.Statement, mode: Mode | None = None) -> QueryPlan:
        """Plan a query in the mode of the session, or in the given one."""
        mode = mode or ("streaming" if self.options.streaming else "batch")
        return plan_query(node, self.names, self._engine, self.options.values, mode, statement)

    def plan_apart(self, node: exp.Query, statement: sql.Statement, mode: Mode) -> QueryPlan:
        """Plan a query without the scan options of the session."""
        values = {key: value for key, value in self.options.values.items() if BY_KEY[key].scope != SCAN}
        return plan_query(node, self.names, self._engine, values, mode, statement)

    def query(self, statement: sql.Select) -> BatchResult:
        """The rows of a query in batch mode; planned anew where a snapshot expires meanwhile."""
        if not self._parsed.knows(statement):
            return retried(lambda: query.run(self.plan(statement.query, statement, "batch")))
        return retried(lambda: query.run(self._plans.plan(statement, self.names, self._engine, self.options.values)))

    def _run_all(
        self, statements: Sequence[sql.Statement], wanted: Sequence[int], params: list[Any]
    ) -> Iterator[Result]:
        for statement, number in zip(statements, wanted, strict=True):
            check_cancelled()
            given, params = params[:number], params[number:]
            self.names.forget_variables()
            try:
                found = self._look_up(statement, given)
                for result in self.run(bind(statement, given)) if found is None else (found,):
                    yield in_zone(result, self.options.zone) if isinstance(result, BatchResult) else result
            except (ProgrammingError, NotSupportedError, DataError, IntegrityError, SnapshotNotFound) as err:
                if err.position is None:
                    err.position = place_in(statement, err.message, err.start)
                raise
            except (ValueError, TypeError, LookupError, AttributeError) as err:
                raise InternalError(
                    f"a mistake of tsdb, not of yours: {type(err).__name__}: {err}", position=statement.position
                ) from err

    def _look_up(self, statement: sql.Statement, params: Sequence[Any]) -> Result | None:
        """The rows of a query that asks for one row by its key; None for all else."""
        if self.options.streaming or not isinstance(statement, sql.Select):
            return None
        try:
            return point_lookup.look_up(statement, self.names, self.options.values, params)
        except OSError as err:
            raise storage_failure(err) from err

    def _planner(self, statement: sql.Statement) -> Planner:
        return Planner(self.names, self._engine, self.options.values, statement)

    def _select(self, statement: sql.Select) -> Result:
        if self.options.streaming:
            plan, upsert = self.plan(statement.query, statement), self.options.get("execution.changelog-mode")
            return open_changelog(plan, upsert=upsert == "upsert", scope=plan.scope)
        return self.query(statement)

    def _insert(self, statement: sql.Insert) -> Result:
        statement, target = self._insert_of(statement)
        if statement.conflict is not None:
            merging = conflict.as_merge(statement, statement.conflict, target, self._planner(statement))
            if merging is not None:
                return self._merge(
                    replace(merging, position=statement.position, text=statement.text, script=statement.script)
                )
        if self.options.streaming and references(statement.source):
            return JobHandle(submit(statement, target, self.plan, self.names, self.options, self.jobs))
        if not isinstance(target, Table):
            return RowCount(dml.insert(statement, target, self._planner(statement)))
        return RowCount(retried(lambda: dml.insert(statement, target, self._planner(statement)), (SnapshotExpired,)))

    def _insert_of(self, statement: sql.Insert) -> tuple[sql.Insert, Table | ConnectorTable]:
        """The statement with its columns written out, and its target."""
        target = self.names.written(statement.target, statement)
        if statement.by_name:
            statement = replace(statement, columns=tuple(self.plan(statement.source, statement, "batch").schema.names))
        if statement.source.meta.get("default_values"):
            statement = replace(statement, columns=(target.schema.names[0],))
        if self.options.zone != "UTC":
            source = time_text.with_times(statement.source, target.schema, statement.columns, _fixed(statement))
            given = self.plan(source, statement).schema
            source = time_text.in_session_zone(source, given, target.schema, statement.columns, _fixed(statement))
            statement = replace(statement, source=source)
        return statement, target

    def _update(self, statement: sql.Update) -> Result:
        target = self.names.written(statement.target, statement)
        return RowCount(retried(lambda: row_change.update(statement, target, self._planner(statement))))

    def _delete(self, statement: sql.Delete) -> Result:
        target = self.names.written(statement.target, statement)
        return RowCount(retried(lambda: row_change.delete(statement, target, self._planner(statement))))

    def _merge(self, statement: sql.MergeInto) -> Result:
        target = self.names.written(statement.target, statement)
        return RowCount(retried(lambda: merge_into.merge(statement, target, self._planner(statement))))

    def _copy_to(self, statement: sql.CopyTo) -> Result:
        plan = self.plan(statement.query, statement, "batch")
        return RowCount(copy_to.copy_to(plan, statement.path, statement.options))

    def _copy_from(self, statement: sql.CopyFrom) -> Result:
        target = self.names.written(statement.target, statement)
        return RowCount(dml.insert(copy_from.as_insert(statement, target), target, self._planner(statement)))

    def _truncate(self, statement: sql.TruncateTable) -> None:
        dml.truncate(self.names.written(statement.name, statement))

    def _create_table(self, statement: sql.CreateTable) -> Result:
        if statement.or_replace:
            return replacement.replace_table(statement, self.names, self._create_table)
        planner = self._planner(statement)
        table = definition.create_table(statement, self.names, planner)
        if statement.as_select is None or table is None:
            return RowCount()
        try:
            insert = sql.Insert(statement.name, None, None, statement.as_select)
            return self._insert(
                replace(insert, position=statement.position, text=statement.text, script=statement.script)
            )
        except BaseException:
            definition.drop_table(sql.DropTable(statement.name), self.names)
            raise

    def _alter_table(self, statement: sql.AlterTable) -> None:
        definition.alter_table(statement, self.names, dml.drop_partition)

    def _set(self, statement: sql.SetOption) -> Result | None:
        if statement.key is None:
            return rows_of(show.options_table(self.options))
        if statement.value is None:
            self.options.get(statement.key)
            return rows_of(show.options_table(self.options, statement.key))
        self.options.set(statement.key, statement.value)
        self._renew_engine()
        return None

    def _reset(self, statement: sql.ResetOption) -> None:
        self.options.reset(statement.key)
        self._renew_engine()

    def _renew_engine(self) -> None:
        if self._engine.memory_limit_bytes != self.options.memory_limit_bytes:
            self._engine = Engine(self.options.memory_limit_bytes, self.functions)
        self._engine.state_memory_bytes = self.options.state_memory_bytes

    def _show(self, statement: sql.ShowStatement) -> Result:
        if statement.kind == "jobs":
            return job_statements.show_jobs(self.jobs)
        if statement.kind == "savepoints":
            return job_statements.show_savepoints(self.jobs)
        if statement.kind == "materialized tables":
            return job_statements.show_materialized(statement, self)
        if statement.kind == "procedures":
            return rows_of(
                show.listing("procedure_name", [f"sys.{name}" for name in sorted(PROCEDURES)], statement.args)
            )
        if statement.kind == "functions":
            wanted = [
                name for name, kind in self._routines() if kind.startswith("USER") or not statement.args.get("user")
            ]
            return rows_of(show.listing("function_name", wanted, statement.args))
        return rows_of(show.show(statement, self.names, self.options, self._view_columns))

    def _routines(self) -> list[tuple[str, str]]:
        """Every function by name, and its kind."""
        mine = [(name, "USER") for name in self.functions.names()]
        known = {name.lower() for name in (*FUNCTIONS, *built_in()) if " " not in name}
        return sorted([*((name, "BUILT-IN") for name in known), *mine])

    def _view_columns(self, view: View) -> pa.Schema:
        """The columns of a view; what it reads is looked up where the view is."""
        return self.plan(all_of(view), sql.Select(all_of(view)), "batch").schema

    def _show_create(self, statement: sql.ShowCreateTable) -> Result:
        found = self.names.find(statement.target)
        if found is None:
            raise self.names.not_found(statement.target, statement)
        if statement.view and not isinstance(found, View):
            raise ProgrammingError(f"`{statement.target}` is not a view; write SHOW CREATE TABLE")
        if statement.materialized and not is_materialized(found):
            raise ProgrammingError(f"`{statement.target}` is no materialized table; write SHOW CREATE TABLE")
        temporary = statement.target.database is None and self.names.is_temporary(statement.target.name)
        return one_text("result", create_text.create_text(found, statement.target.catalog, temporary=temporary))

    def _describe(self, statement: sql.Describe) -> Result:
        return rows_of(show.describe(statement, self.names, self._view_columns))

    def _describe_query(self, statement: more.DescribeQuery) -> Result:
        schema = self.plan(statement.query, statement, "batch").schema
        return rows_of(show.columns_table(show.arrow_table_schema(schema), {}))

    def _describe_thing(self, statement: more.DescribeThing) -> Result:
        if statement.kind == "function":
            return rows_of(show.function_facts(statement.name.name, self.functions))
        return rows_of(show.facts_table(catalog_change.description(statement, self.names)))

    def _show_create_thing(self, statement: more.ShowCreate) -> Result:
        if statement.kind == "function":
            text = self.functions.texts.get(statement.name.name.lower())
            if text is not None:
                return one_text("result", text)
            show.function_facts(statement.name.name, self.functions)
            raise NotSupportedError(f"function `{statement.name.name}` is built in, or was registered from Python")
        return one_text("result", catalog_change.show_create(statement, self.names))

    def _explain(self, statement: sql.Explain) -> Result:
        return rows_of(explain.text_table(explain.explained(statement, self.plan, streaming=self.options.streaming)))

    def _call(self, statement: sql.Call) -> Result:
        procedure, mounted, positional, named = called(statement, self.names)
        if self.options.streaming and procedure.watch is not None:
            if mounted is not self.names.catalogs.home:
                raise NotSupportedError(
                    f"a job can only work on tables of the connection's own warehouse, not of catalog {mounted.name}",
                    position=statement.position,
                )
            given = arguments(procedure, positional, named)
            watch = CompactionWatch(procedure.watch(mounted.catalog, given))
            return JobHandle(submit_watch(statement, watch, given, self.options, self.jobs))
        if procedure.script is None:
            return rows_of(procedure.run(mounted.catalog, positional, named))
        if mounted is not self.names.catalogs.current:
            raise NotSupportedError(
                f"CALL {statement.procedure} in another catalog: USE CATALOG {mounted.name} first",
                position=statement.position,
            )
        return list(self.execute(procedure.script(arguments(procedure, positional, named))))[-1]

    def _statement_set(self, statement: sql.ExecuteStatementSet) -> Result:
        """One job; in batch mode a commit each, over the same snapshots."""
        inserts = [self._insert_of(insert) for insert in statement.statements]
        check_targets([target for _, target in inserts])
        if self.options.streaming:
            return JobHandle(submit_set(inserts, self.plan, self.names, self.options, self.jobs))
        expiry = (SnapshotExpired,) if all(isinstance(target, Table) for _, target in inserts) else ()
        return RowCount(retried(lambda: dml.insert_all(inserts, self._planner(statement)), expiry))


def _fixed(statement: sql.Insert) -> tuple[str, ...]:
    """The columns that PARTITION (…) gives values for."""
    return tuple(name for name, value in (statement.partition or {}).items() if value is not None)


def called(statement: sql.Call, names: Names) -> tuple[Procedure, Mounted, tuple[Any, ...], dict[str, Any]]:
    """CALL [catalog.]sys.<name>(…): the procedure, where, and its arguments by place and by name."""
    *before, name = statement.procedure.removeprefix("sys.").split(".")
    if name in REFUSED:
        raise NotSupportedError(f"procedure `{name}` is not supported: {REFUSED[name]}", position=statement.position)
    procedure = PROCEDURES.get(name) if before[1:] in ([], ["sys"]) else None
    if procedure is None:
        near = nearest(name, PROCEDURES)
        raise ProgrammingError(f"there is no procedure `{statement.procedure}`.{near}")
    given = [*statement.positional, *statement.named.values()]
    keys = [*(argument.name for argument in procedure.arguments), *[""] * len(given)][: len(statement.positional)]
    tables = {argument.name for argument in procedure.arguments if argument.type == "table"}
    mounted = names.catalogs.get(before[0]) if before else names.catalogs.current
    values = []
    for key, value in zip([*keys, *statement.named], given, strict=True):
        if key in tables and isinstance(value, str):
            mounted, value = _table_argument(value, mounted, names)
        values.append(value)
    named = dict(zip(statement.named, values[len(keys) :], strict=True))
    return procedure, mounted, tuple(values[: len(keys)]), named


def _table_argument(value: str, mounted: Mounted, names: Names) -> tuple[Mounted, str]:
    """The catalog and the name in it: a bare name is of the current database, one of three parts of another catalog."""
    if "." not in value:
        return mounted, f"{names.database if mounted is names.catalogs.current else mounted.database}.{value}"
    first, _, rest = value.partition(".")
    return (names.catalogs.get(first), rest) if "." in rest and names.catalogs.has(first) else (mounted, value)


HANDLERS: Mapping[type[sql.Statement], Callable[[Session, Any], Result | Iterator[Result] | None]] = {
    sql.Select: Session._select,
    sql.Insert: Session._insert,
    sql.Update: Session._update,
    sql.Delete: Session._delete,
    sql.MergeInto: Session._merge,
    sql.CopyTo: Session._copy_to,
    sql.CopyFrom: Session._copy_from,
    sql.TruncateTable: Session._truncate,
    more.CreateCatalog: lambda s, st: s.names.catalogs.create(st.name, st.options, if_not_exists=st.if_not_exists),
    more.DropCatalog: lambda s, st: catalog_change.drop_catalog(st, s.names),
    more.UseCatalog: lambda s, st: s.names.use_catalog(st.name),
    more.CreateDatabase: lambda s, st: catalog_change.create_database(st, s.names),
    more.DropDatabase: lambda s, st: catalog_change.drop_database(st, s.names),
    more.AlterDatabase: lambda s, st: catalog_change.alter_database(st, s.names),
    more.UseDatabase: lambda s, st: catalog_change.use_database(st, s.names),
    more.AlterView: lambda s, st: catalog_change.alter_view(st, s.names, s._planner(st)),
    more.Comment: lambda s, st: catalog_change.comment(st, s.names),
    more.ShowCreate: Session._show_create_thing,
    more.DescribeThing: Session._describe_thing,
    more.DescribeQuery: Session._describe_query,
    more.Summarize: lambda s, st: summary.summarize(st, s.plan, s.query),
    sql.CreateTable: Session._create_table,
    sql.DropTable: lambda s, st: definition.drop_table(st, s.names),
    more.DropSeveral: lambda s, st: replacement.drop_several(st, s.names),
    sql.RenameTable: lambda s, st: definition.rename_table(st, s.names),
    sql.AlterTable: Session._alter_table,
    sql.CreateView: lambda s, st: definition.create_view(st, s.names, s._planner(st)),
    sql.CreateFunction: lambda s, st: create_function(st, s.functions),
    sql.DropFunction: lambda s, st: drop_function(st, s.functions),
    sql.DropView: lambda s, st: definition.drop_view(st, s.names),
    sql.SetOption: Session._set,
    sql.ResetOption: Session._reset,
    sql.ShowStatement: Session._show,
    sql.ShowCreateTable: Session._show_create,
    sql.Describe: Session._describe,
    sql.Explain: Session._explain,
    sql.Call: Session._call,
    sql.StopJob: lambda s, st: job_statements.stop(st, s.jobs),
    sql.DropSavepoint: lambda s, st: s.jobs.savepoints.drop(st.path),
    sql.DescribeJob: lambda s, st: job_statements.describe(st, s.jobs),
    kept.CreateMaterializedTable: lambda s, st: job_statements.create_materialized(st, s),
    kept.AlterMaterializedTable: lambda s, st: job_statements.alter_materialized(st, s),
    kept.DropMaterializedTable: lambda s, st: materialized.drop(st, s),
    sql.DropJob: lambda s, st: job_statements.drop(st, s.jobs),
    sql.ExecuteStatementSet: Session._statement_set,
    more.Prepare: lambda s, st: s._prepared.add(st.name, st.body),
    more.ExecutePrepared: lambda s, st: s.execute(s._prepared.body(st.name), st.values),
    more.Deallocate: lambda s, st: s._prepared.remove(st.name),
}
"""What runs each kind of statement."""
