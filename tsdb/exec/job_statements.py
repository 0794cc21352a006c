"""Statements about jobs, savepoints and materialized tables."""

from __future__ import annotations

from tsdb.exec import materialized, show
from tsdb.exec.result import JobHandle, Result, RowCount, one_text, rows_of
from tsdb.exec.streaming.job import Job
from tsdb.exec.streaming.job_facts import job_facts
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.sql import materialized as kept
from tsdb.sql import statements as sql


def show_jobs(jobs: JobRegistry) -> Result:
    """SHOW JOBS."""
    return rows_of(show.jobs_table(jobs.show()))


def show_savepoints(jobs: JobRegistry) -> Result:
    """SHOW SAVEPOINTS."""
    return rows_of(show.savepoints_table(jobs.savepoints.all()))


def describe(statement: sql.DescribeJob, jobs: JobRegistry) -> Result:
    """DESCRIBE JOB."""
    return rows_of(show.facts_table(job_facts(jobs.details(statement.name))))


def stop(statement: sql.StopJob, jobs: JobRegistry) -> Result | None:
    """STOP JOB; with a savepoint, its path."""
    if statement.savepoint:
        return one_text("savepoint_path", jobs.stop_with_savepoint(statement.name))
    jobs.stop(statement.name)
    return None


def drop(statement: sql.DropJob, jobs: JobRegistry) -> None:
    """DROP JOB."""
    names = {name for info in jobs.show() for name in (info.name, info.job_id)}
    if not statement.if_exists or statement.name in names:
        jobs.drop(statement.name)


def create_materialized(statement: kept.CreateMaterializedTable, session: materialized.Session) -> Result:
    """CREATE MATERIALIZED TABLE; the job that keeps it, if one does."""
    return _started(materialized.create(statement, session))


def alter_materialized(statement: kept.AlterMaterializedTable, session: materialized.Session) -> Result:
    """ALTER MATERIALIZED TABLE; the job that RESUME starts."""
    return _started(materialized.alter(statement, session))


def show_materialized(statement: sql.ShowStatement, session: materialized.Session) -> Result:
    """SHOW MATERIALIZED TABLES."""
    database = statement.args.get("database")
    name = session.names.database if database is None else session.names.database_name(database)
    return rows_of(show.materialized_table(materialized.tables_of(name, session), statement.args))


def _started(job: Job | None) -> Result:
    return RowCount() if job is None else JobHandle(job)
