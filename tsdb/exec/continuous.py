"""INSERT in streaming mode, and procedures that go on: jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import NotSupportedError
from tsdb.exec.batch.columns import Arrangement, real_name
from tsdb.exec.batch.value_place import place_of_values
from tsdb.exec.names import Names
from tsdb.exec.plan import QueryPlan
from tsdb.exec.session_options import SessionOptions
from tsdb.exec.streaming.draft import JobDraft, PlannedInsert, insert_draft
from tsdb.exec.streaming.job import Job
from tsdb.exec.streaming.maintenance_job import NoSink, maintenance_pipeline
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.sql.parameters import literal
from tsdb.sql.script import normalized
from tsdb.sql.statements import Call, Insert, Statement
from tsdb.sql.table_ref import references
from tsdb.table.compaction_watch import CompactionWatch
from tsdb.table.table import Table

Planner: TypeAlias = Callable[[exp.Query, Statement], QueryPlan]


def submit(
    statement: Insert,
    target: Table | ConnectorTable,
    plan_of: Planner,
    names: Names,
    options: SessionOptions,
    jobs: JobRegistry,
) -> Job:
    """Start the job, or resume it from its newest checkpoint. Everything that can be refused is refused now."""
    insert = _planned(statement, target, plan_of, names)
    name = options.get("pipeline.name") or f"insert-into_{insert.target.identifier}"
    text = f"USE {names.database}; {normalized(statement.text)}"
    return jobs.submit_draft(insert_draft([insert], text, name, names.catalogs.home.catalog), options.values)


def submit_set(
    statements: Sequence[tuple[Insert, Table | ConnectorTable]],
    plan_of: Planner,
    names: Names,
    options: SessionOptions,
    jobs: JobRegistry,
) -> Job:
    """Start the one job of a statement set, or resume it. See `submit`."""
    inserts = [_planned(statement, target, plan_of, names) for statement, target in statements]
    targets = dict.fromkeys(str(insert.target.identifier) for insert in inserts)
    name = options.get("pipeline.name") or f"insert-into_{','.join(targets)}"
    each = "; ".join(normalized(statement.text) for statement, _ in statements)
    text = f"USE {names.database}; EXECUTE STATEMENT SET BEGIN {each}; END"
    return jobs.submit_draft(insert_draft(inserts, text, name, names.catalogs.home.catalog), options.values)


def _planned(statement: Insert, target: Table | ConnectorTable, plan_of: Planner, names: Names) -> PlannedInsert:
    if statement.overwrite:
        raise NotSupportedError(
            "INSERT OVERWRITE in streaming mode: changes go on, so there is no moment to overwrite at; "
            "SET 'execution.mode' = 'batch', or use INSERT INTO",
            position=statement.position,
        )
    _check_home(target, statement, names)
    if isinstance(target, ConnectorTable):
        target = target.for_writing()
    constants = {real_name(k, target.schema, target.identifier): v for k, v in (statement.partition or {}).items()}
    fixed = {name: value for name, value in constants.items() if value is not None}
    plan = plan_of(_with_constants(statement.source, fixed), statement)
    columns = _columns(statement, target, fixed)
    Arrangement(plan.schema, target.schema, target.identifier, columns, place=place_of_values(statement))
    options = dict(statement.target_options)
    sink = target.for_statement(options) if isinstance(target, Table) else target.with_options(options)
    return PlannedInsert(plan, sink, tuple(columns))


def submit_watch(
    statement: Call,
    watch: CompactionWatch,
    arguments: Mapping[str, Any],
    options: SessionOptions,
    jobs: JobRegistry,
) -> Job:
    """Start the job of a procedure that goes on. Raises AlreadyExists if it runs already, here or elsewhere."""
    procedure = statement.procedure.rpartition(".")[2]
    what = arguments.get("table") or arguments.get("including_databases", "all")
    name = options.get("pipeline.name") or f"{procedure}_{what}"
    plan = json.dumps([procedure, sorted(arguments.items())])
    draft = JobDraft(name, plan, plan, maintenance_pipeline(watch), lambda _: NoSink())
    return jobs.submit_draft(draft, options.values)


def _check_home(target: Table | ConnectorTable, statement: Insert, names: Names) -> None:
    """A job and its state lie in the warehouse of the connection, and so must its tables."""
    sources = [names.source(reference, statement) for reference in references(statement.source)]
    for table in (target, *sources):
        if isinstance(table, Table) and not names.catalogs.home.holds(table):
            raise NotSupportedError(
                f"a job can only read and write tables of the connection's own warehouse; `{table.identifier}` is in "
                "another catalog, so connect() to its warehouse",
                position=statement.position,
            )


def _columns(statement: Insert, target: Table | ConnectorTable, fixed: dict[str, Any]) -> list[str]:
    """The target's columns in the order of the query's, the constants last."""
    if statement.columns is None:
        given = [name for name in target.schema.names if name not in fixed]
    else:
        given = [real_name(name, target.schema, target.identifier) for name in statement.columns]
    return [*given, *fixed]


def _with_constants(source: exp.Query, fixed: dict[str, Any]) -> exp.Query:
    """The query with constant columns behind its own: SELECT *, constants FROM (query)."""
    if not fixed:
        return source
    constants = [exp.alias_(literal(value), f"partition {i}", quoted=True) for i, value in enumerate(fixed.values())]
    inner = exp.Subquery(this=source.copy(), alias=exp.TableAlias(this=exp.to_identifier("source", quoted=True)))
    return exp.Select(expressions=[exp.Star(), *constants], from_=exp.From(this=inner))
