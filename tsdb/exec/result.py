"""What a statement gives back: a count of rows, rows, changes that go on, or a job that was started.

A result with rows has a `schema` whose names are those that the user sees; two columns may have the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from tsdb.exec.engine import our_batch, zoned_schema
from tsdb.exec.streaming.changelog import ChangelogResult
from tsdb.exec.streaming.job import Job


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows were changed; -1 for a statement that changes no rows (DDL, SET)."""

    count: int = -1


def _nothing() -> None:
    """Nothing to cancel."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Rows that end. `reader` gives them as they are computed and raises errors of `tsdb.errors`; it is read once.

    cancel: stop the computation and free what it holds; may be called twice and from any thread.
    """

    schema: pa.Schema
    reader: pa.RecordBatchReader
    cancel: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A continuous job that was started, or found running. As rows: one row with its id and its name."""

    job: Job

    @property
    def job_id(self) -> str:
        """The id of the job over all its runs."""
        return self.job.id

    @property
    def name(self) -> str:
        """The name by which it is stopped and resumed."""
        return self.job.name

    @property
    def schema(self) -> pa.Schema:
        """The columns of `table`."""
        return _JOB_SCHEMA

    @property
    def table(self) -> pa.Table:
        """The one row."""
        return pa.table([[self.job_id], [self.name]], schema=_JOB_SCHEMA)


Result: TypeAlias = RowCount | BatchResult | ChangelogResult | JobHandle


def in_zone(result: BatchResult, zone: str) -> BatchResult:
    """The rows with the name of a zone in the type of their TIMESTAMP_LTZ columns; the moments are the same."""
    schema = zoned_schema(result.schema, zone)
    if schema.equals(result.schema):
        return result
    batches = (our_batch(batch, schema) for batch in result.reader)
    return BatchResult(schema, pa.RecordBatchReader.from_batches(schema, batches), result.cancel)


_JOB_SCHEMA = pa.schema(
    [pa.field("job_id", pa.string(), nullable=False), pa.field("name", pa.string(), nullable=False)]
)


def rows_of(table: pa.Table) -> BatchResult:
    """A table that is already there, as a result."""
    return BatchResult(table.schema, table.to_reader())


def one_text(column: str, text: str) -> BatchResult:
    """One row, one column."""
    return rows_of(pa.table({column: pa.array([text], pa.string())}))
