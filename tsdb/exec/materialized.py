"""Materialized tables: a table of the warehouse with a query that keeps it, by a job or at each REFRESH.

The definition lies in the options of the table, under the keys that Paimon's own catalogs give it, so every process
sees it. The job of a continuous one runs in the process that created or resumed it, like every job; its state lies in
the warehouse, so RESUME in another process goes on where it was. Rows change by the query alone.

Bare names of the query mean tables of the materialized table's own database, as in a view.

Source: Flink's materialized tables (FLIP-435); `MATERIALIZED_TABLE_…` of Paimon's `CoreOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.exec import definition
from tsdb.exec.batch import dml
from tsdb.exec.batch.columns import Arrangement, real_name
from tsdb.exec.materialized_definition import Definition, definition_of
from tsdb.exec.names import Names
from tsdb.exec.plan import Mode, QueryPlan, view_query
from tsdb.exec.relation import View
from tsdb.exec.session_options import SessionOptions
from tsdb.exec.streaming.assemble import assemble
from tsdb.exec.streaming.draft import PlannedInsert, insert_draft
from tsdb.exec.streaming.job import Job
from tsdb.exec.streaming.registry import JobInfo, JobRegistry
from tsdb.sql import materialized as sql
from tsdb.sql.parameters import literal
from tsdb.sql.parser import parse_query
from tsdb.sql.script import normalized
from tsdb.sql.statements import CreateTable, DropTable, Insert, Statement, TableName
from tsdb.sql.table_ref import references
from tsdb.table.materialized import PREFIX, is_materialized
from tsdb.table.schema_change import SetOptions
from tsdb.table.table import Identifier, Table

_OF_ONE_STATEMENT = ("execution.savepoint.path", "execution.restore")
"""Options of a session that are meant for an INSERT."""


class Session(Protocol):
    """The part of a session that materialized tables need."""

    names: Names
    jobs: JobRegistry
    options: SessionOptions

    def plan_apart(self, node: exp.Query, statement: Statement, mode: Mode) -> QueryPlan:
        """Plan a query without the scan options of the session."""
        ...


def job_name(table: Identifier) -> str:
    """The name of the job that keeps it."""
    return f"materialized-table_{table}"


def create(statement: sql.CreateMaterializedTable, session: Session) -> Job | None:
    """CREATE MATERIALIZED TABLE: the table, and its job, or its first rows. Whatever fails leaves nothing behind."""
    names, wanted = session.names, statement.table
    if wanted.if_not_exists and names.find(wanted.name) is not None:
        return None
    if names.mounted(wanted.name) is not names.catalogs.home:
        raise NotSupportedError(
            f"materialized table `{wanted.name}` in another catalog: it must be in the connection's own warehouse",
            position=statement.position,
        )
    kept = Definition(statement.query_text, statement.refresh_mode, statement.freshness)
    identifier = names.identifier(wanted.name)
    query = _query(kept, identifier, session)
    _check_nothing_temporary(statement.query_text, names)
    key = wanted.primary_key
    if kept.mode == "continuous" and not key:
        key = _key_of(session.plan_apart(query, statement, "streaming"), wanted)
    made = replace(wanted, as_select=query, primary_key=key, options={**wanted.options, **kept.options})
    table = definition.create_table(made, names, lambda node: session.plan_apart(node, statement, "batch"))
    assert isinstance(table, Table), "a new table of the warehouse"
    try:
        if kept.mode == "continuous":
            return _start(table, kept, session, statement)
        _fill(table, kept, None, session, statement)
        return None
    except BaseException:
        _forget(identifier, session)
        definition.drop_table(DropTable(wanted.name), names, materialized=True)
        raise


def alter(statement: sql.AlterMaterializedTable, session: Session) -> Job | None:
    """ALTER MATERIALIZED TABLE."""
    table = _found(statement.name, session.names, statement)
    kept, name = definition_of(table), job_name(table.identifier)
    match statement.action:
        case "suspend":
            if _info(table.identifier, session.jobs) is not None:
                session.jobs.stop(name)
            _set_suspended(table, kept, session, suspended=True)
        case "resume":
            table = _set_suspended(table, kept, session, suspended=False)
            if kept.mode == "continuous":
                return _start(table, kept, session, statement)
        case "refresh" if kept.mode == "continuous":
            _catch_up(table, statement, session)
        case "refresh":
            _fill(table, kept, statement.partition, session, statement)
    return None


def drop(statement: sql.DropMaterializedTable, session: Session) -> None:
    """DROP MATERIALIZED TABLE: the job, its state, and the table. Raises AlreadyExists if another process runs it."""
    found = session.names.find(statement.name)
    if found is None and statement.if_exists:
        return
    table = _found(statement.name, session.names, statement)
    _forget(table.identifier, session)
    definition.drop_table(DropTable(statement.name), session.names, materialized=True)


def tables_of(database: str, session: Session) -> list[tuple[str, Definition, JobInfo | None]]:
    """The materialized tables of a database of the current catalog, with their jobs."""
    catalog = session.names.catalog
    found = []
    for name in catalog.list_tables(database):
        table = catalog.get_table(Identifier(database, name))
        if isinstance(table, Table) and is_materialized(table):
            found.append((name, definition_of(table), _info(table.identifier, session.jobs)))
    return found


def _found(name: TableName, names: Names, statement: Statement) -> Table:
    table = names.table(name, statement)
    if not isinstance(table, Table) or not is_materialized(table):
        raise ProgrammingError(f"table `{name}` is no materialized table; SHOW MATERIALIZED TABLES lists those of it")
    return table


def _query(kept: Definition, identifier: Identifier, session: Session) -> exp.Query:
    home = session.names.catalogs.home
    return view_query(View(identifier, kept.query, catalog=home.name), session.names)


def _check_nothing_temporary(text: str, names: Names) -> None:
    for reference in references(parse_query(text)):
        if not reference.args.get("db") and names.is_temporary(reference.name):
            raise NotSupportedError(
                f"`{reference.name}` is temporary or registered from Python, and other processes do not see it; "
                "a materialized table reads tables and views of the warehouse"
            )


def _key_of(plan: QueryPlan, wanted: CreateTable) -> tuple[str, ...]:
    """The primary key, if none is given: what the plan shows to be unique; none for rows that are only added."""
    assembly = assemble(plan)
    assembly.pipeline.close()
    if assembly.branch.append_only:
        return ()
    found = assembly.dataflow.upsert_key
    if not found:
        raise NotSupportedError(
            f"the query of materialized table `{wanted.name}` updates or deletes rows of its result, and nothing shows "
            "which columns identify one; give the key: "
            f"CREATE MATERIALIZED TABLE {wanted.name} (PRIMARY KEY (…) NOT ENFORCED) …"
        )
    shown = [column.name for column in wanted.columns] or plan.schema.names
    if len(shown) != len(plan.schema):
        raise ProgrammingError(
            f"table `{wanted.name}` names {len(shown)} columns, but its query has {len(plan.schema)}"
        )
    return tuple(shown[assembly.dataflow.schema.names.index(name)] for name in found)


def _start(table: Table, kept: Definition, session: Session, statement: Statement) -> Job:
    """Start the job, or let it go on. A job without a state begins with an empty table: nobody knows what is in it."""

    def begin() -> None:
        if table.latest_snapshot() is not None:
            dml.truncate(table)

    plan = session.plan_apart(_query(kept, table.identifier, session), statement, "streaming")
    columns = tuple(table.schema.names)
    Arrangement(plan.schema, table.schema, table.identifier, columns)
    text = f"CREATE MATERIALIZED TABLE {table.identifier} AS {normalized(kept.query)}"
    options = {key: value for key, value in session.options.values.items() if key not in _OF_ONE_STATEMENT}
    if kept.freshness is not None:
        options["execution.checkpointing.interval"] = f"{kept.freshness.milliseconds} ms"
    home = session.names.catalogs.home.catalog
    draft = insert_draft([PlannedInsert(plan, table, columns)], text, job_name(table.identifier), home)
    return session.jobs.submit_draft(replace(draft, begin=begin), options)


def _catch_up(table: Table, statement: sql.AlterMaterializedTable, session: Session) -> None:
    """REFRESH of a table that a job keeps: what its sources hold now is committed when the statement returns."""
    name = job_name(table.identifier)
    if statement.partition is not None:
        raise NotSupportedError(f"table `{table.identifier}` is kept as a whole by a job; REFRESH without a PARTITION")
    job = next((job for job in session.jobs.jobs() if job.name == name and job.runs), None)
    if job is None:
        info = _info(table.identifier, session.jobs)
        where = info.process if info is not None and info.process else None
        raise ProgrammingError(
            f"the job that keeps table `{table.identifier}` runs in {where}; REFRESH it there"
            if where
            else f"the job that keeps table `{table.identifier}` does not run; ALTER MATERIALIZED TABLE … RESUME first"
        )
    job.checkpoint(_CATCH_UP_S)


_CATCH_UP_S = 3600.0


def _fill(
    table: Table, kept: Definition, partition: Mapping[str, Any] | None, session: Session, statement: Statement
) -> None:
    """Put the result of the query in the place of what is there, in one commit; or that of one partition."""
    query = _query(kept, table.identifier, session)
    spec = {real_name(key, table.schema, table.identifier): value for key, value in (partition or {}).items()}
    if spec:
        query = _one_partition(query, table, spec)
    insert = Insert(
        TableName((table.identifier.name,)),
        columns=None,
        partition=spec or None,
        source=query,
        overwrite=True,
        target_options={"dynamic-partition-overwrite": "false"},
    )
    placed = replace(insert, position=statement.position, text=statement.text, script=statement.script)
    dml.insert(placed, table, lambda node: session.plan_apart(node, statement, "batch"))


def _one_partition(query: exp.Query, table: Table, spec: Mapping[str, Any]) -> exp.Query:
    """SELECT the other columns FROM the query WHERE the partition is this one."""
    names = [exp.to_identifier(name, quoted=True) for name in table.schema.names]
    alias = exp.TableAlias(this=exp.to_identifier("source", quoted=True), columns=names)
    inner = exp.Subquery(this=query, alias=alias)
    rest = [exp.column(name, quoted=True) for name in table.schema.names if name not in spec]
    holds = [exp.EQ(this=exp.column(name, quoted=True), expression=literal(value)) for name, value in spec.items()]
    return exp.Select(expressions=rest, from_=exp.From(this=inner)).where(*holds)


def _set_suspended(table: Table, kept: Definition, session: Session, *, suspended: bool) -> Table:
    if kept.suspended == suspended:
        return table
    status = {f"{PREFIX}refresh-status": "suspended" if suspended else "activated"}
    changed = session.names.catalogs.home.catalog.alter_table(table.identifier, [SetOptions(status)])
    assert isinstance(changed, Table), "it was one before"
    return changed


def _forget(identifier: Identifier, session: Session) -> None:
    if _info(identifier, session.jobs) is not None:
        session.jobs.drop(job_name(identifier))


def _info(identifier: Identifier, jobs: JobRegistry) -> JobInfo | None:
    return next((info for info in jobs.show() if info.name == job_name(identifier)), None)
