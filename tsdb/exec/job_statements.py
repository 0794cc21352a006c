"""Statements about jobs and savepoints: SHOW, DESCRIBE, STOP, DROP."""

from __future__ import annotations

from tsdb.exec import show
from tsdb.exec.result import Result, one_text, rows_of
from tsdb.exec.streaming.job_facts import job_facts
from tsdb.exec.streaming.registry import JobRegistry
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
