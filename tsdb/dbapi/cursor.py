"""A cursor: the rows of a query that ends, or the changes of one that goes on.

In streaming mode the first column is `op` (`+I -U +U -D`), the fetches wait for changes, and fetching everything is an
error unless the sources are bounded. Errors leave the cursor usable: execute again.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tsdb.cancellation import Cancellation, check_cancelled
from tsdb.dbapi.bulk import bulk_insert
from tsdb.dbapi.rows import RowBuffer
from tsdb.dbapi.values import Column, description_of
from tsdb.errors import InterfaceError, NotSupportedError, ProgrammingError
from tsdb.exec.result import BatchResult, JobHandle, Result, RowCount
from tsdb.exec.streaming.changelog import ChangelogResult

if TYPE_CHECKING:
    from tsdb.dbapi.connection import Connection

_UNBOUNDED = (
    "the changes of this query never end, so they cannot be fetched whole. Use fetchone(), fetchmany(n) or poll(), "
    "or let it end: SET 'scan.bounded.mode' = 'latest', or SET 'execution.mode' = 'batch' for the result as it is now"
)
_NO_RESULT = "there are no rows to fetch: execute a query first"


class Cursor:
    """See PEP 249; what goes beyond it is said at each method."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.arraysize = 1
        self._description: tuple[Column, ...] | None = None
        self._rowcount = -1
        self._result: BatchResult | ChangelogResult | JobHandle | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._buffer: RowBuffer | None = None
        self._ended = False
        self._closed = False
        self._running: Cancellation | None = None

    # --- execute

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Self:
        """Run one statement or several; the cursor has the result of the last one.

        params: values for `?` or `$1`, …, or a dict for `:name` and `$name`.
        """
        self._check_open()
        self._reset()
        with self._cancellable() as running:
            for result in self.connection.run(sql, params):
                self._reset()
                self._take(result)
        if running.cancelled and self._result is not None:
            _close(self._result)
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Self:
        """Run the statement once for each of rows. A plain INSERT … VALUES of them becomes one commit."""
        self._check_open()
        self._reset()
        if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
            raise ProgrammingError("executemany() takes a sequence of rows, each a sequence of values")
        with self._cancellable():
            self._rowcount = sum(self._run_without_rows(text, params) for text, params in bulk_insert(sql, rows))
        return self

    def adopt(self, result: Result) -> Self:
        """Take the result of a statement that the connection ran."""
        self._check_open()
        self._reset()
        self._take(result)
        return self

    @property
    def description(self) -> tuple[Column, ...] | None:
        """Seven items per column, or None if there are no rows."""
        return self._description

    @property
    def rowcount(self) -> int:
        """Rows that DML changed; -1 for other statements and for queries."""
        return self._rowcount

    @property
    def is_changelog(self) -> bool:
        """Whether the rows are changes, with a first column `op`."""
        return isinstance(self._result, ChangelogResult)

    @property
    def version(self) -> int | None:
        """Of a streaming query: the version to which the changes fetched last belong."""
        return self._result.version if isinstance(self._result, ChangelogResult) else None

    @property
    def ended(self) -> bool:
        """Whether the end of the rows was reached: a fetch gave none, or a poll found the stream ended."""
        return self._ended

    @property
    def schema(self) -> pa.Schema | None:
        """The Arrow schema of the rows, or None."""
        return None if self._result is None else self._result.schema

    # --- fetch

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None at the end. In streaming mode it waits for a change."""
        return self._buffer_with_rows().next_row() if self._fill(None) else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most size. In streaming mode it waits for at least one change, and then no longer."""
        size = self.arraysize if size is None else size
        rows: list[tuple[Any, ...]] = []
        while len(rows) < size and self._fill(0.0 if rows and self.is_changelog else None):
            rows.append(self._buffer_with_rows().next_row())
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left. Raises ProgrammingError for a stream that never ends."""
        self._check_bounded()
        rows: list[tuple[Any, ...]] = []
        while self._fill(None):
            buffer = self._buffer_with_rows()
            rows += [buffer.next_row() for _ in range(len(buffer))]
        return rows

    def fetch_arrow_table(self) -> pa.Table:
        """All rows that are left, as an Arrow table."""
        self._check_bounded()
        tables = []
        while self._fill(None):
            tables.append(self._buffer_with_rows().take())
        schema = self._open_result().schema
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def fetch_record_batch(self) -> pa.RecordBatchReader:
        """The rows that are left, batch by batch as they are computed; of a stream too, also one that never ends."""
        schema = self._open_result().schema
        return pa.RecordBatchReader.from_batches(schema, self._batches())

    def fetch_df(self) -> Any:
        """All rows that are left, as a pandas DataFrame; needs pandas."""
        return self.fetch_arrow_table().to_pandas()

    def arrow(self) -> pa.Table:
        """`fetch_arrow_table`, as DuckDB calls it."""
        return self.fetch_arrow_table()

    def df(self) -> Any:
        """`fetch_df`, as DuckDB calls it."""
        return self.fetch_df()

    def pl(self) -> Any:
        """All rows that are left, as a polars DataFrame. Raises NotSupportedError where polars is not installed."""
        try:
            polars = importlib.import_module("polars")
        except ImportError as err:
            raise NotSupportedError("pl() needs polars: pip install 'tsdb[polars]'") from err
        return polars.from_arrow(self.fetch_arrow_table())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows that are left, for what reads Arrow streams: `pyarrow.table(cursor)`, `polars.DataFrame(cursor)`."""
        return self.fetch_record_batch().__arrow_c_stream__(requested_schema)

    def poll(self, timeout: float = 0.0) -> pa.Table:
        """Changes that are there, or come within `timeout` seconds, as a table; empty if there are none.

        For a query in batch mode: the next rows.
        """
        return self._buffer_with_rows().take() if self._fill(timeout) else self._open_result().schema.empty_table()

    def poll_until_caught_up(self, timeout: float = 60.0) -> Iterator[pa.Table]:
        """The changes up to what the sources hold now. Raises OperationalError if that takes longer."""
        result = self._open_result()
        if not isinstance(result, ChangelogResult):
            raise ProgrammingError("poll_until_caught_up() is for a streaming query; use fetch_arrow_table()")
        if self._buffer is not None and len(self._buffer):
            yield self._buffer.take()
        yield from result.until_caught_up(timeout)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rows; of a streaming query, for as long as it goes on."""
        while (row := self.fetchone()) is not None:
            yield row

    # --- the rest of PEP 249

    def cancel(self) -> None:
        """Stop the statement that runs or the query that is read, from any thread: it raises `Cancelled`.

        A statement that changes a table leaves it as it was; one that is just being committed goes on to its end.
        """
        running = self._running
        if running is not None:
            running.cancel()
        if self._result is not None:
            _close(self._result)

    def close(self) -> None:
        """Stop the query and free what it holds; may be called twice."""
        if not self._closed:
            self._reset()
            self._closed = True
            self.connection.forget(self)

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Does nothing; PEP 249 wants it."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing; PEP 249 wants it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # --- parts

    @contextmanager
    def _cancellable(self) -> Iterator[Cancellation]:
        """What runs inside can be cancelled."""
        self._running = Cancellation()
        try:
            with self._running as running:
                yield running
        finally:
            self._running = None

    def _run_without_rows(self, sql: str, params: Sequence[Any] | Mapping[str, Any]) -> int:
        """How many rows it wrote."""
        check_cancelled()
        total = 0
        for result in self.connection.run(sql, params):
            if isinstance(result, BatchResult | ChangelogResult):
                _close(result)
                raise ProgrammingError("executemany() is for statements without rows; use execute()")
            total += max(result.count, 0) if isinstance(result, RowCount) else 0
        return total

    def _take(self, result: Result) -> None:
        if isinstance(result, RowCount):
            self._rowcount = result.count
            return
        self._result = result
        self._description = description_of(result.schema)
        if isinstance(result, BatchResult):
            self._reader = result.reader
        elif isinstance(result, JobHandle):
            self._reader = result.table.to_reader()

    def _reset(self) -> None:
        result, self._result = self._result, None
        self._description, self._reader, self._buffer, self._rowcount = None, None, None, -1
        self._ended = False
        if result is not None:
            _close(result)

    def _fill(self, timeout_s: float | None) -> bool:
        """Make sure that a row is there: True; False at the end, or when a stream brings none in time."""
        result = self._open_result()
        if self._buffer is not None and len(self._buffer):
            return True
        if isinstance(result, ChangelogResult):
            table = result.next(timeout_s, None)
            self._ended = table is None
            self._buffer = None if table is None else RowBuffer(table)
            return self._buffer is not None and len(self._buffer) > 0
        assert self._reader is not None
        for batch in self._reader:
            if batch.num_rows:
                self._buffer = RowBuffer(pa.Table.from_batches([batch]))
                return True
        self._ended = True
        return False

    def _buffer_with_rows(self) -> RowBuffer:
        assert self._buffer is not None
        return self._buffer

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while self._fill(None):
            yield from self._buffer_with_rows().take().to_batches()

    def _open_result(self) -> BatchResult | ChangelogResult | JobHandle:
        self._check_open()
        if self._result is None:
            raise ProgrammingError(_NO_RESULT)
        return self._result

    def _check_open(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed; make a new one with connection.cursor()")
        self.connection.check_open()

    def _check_bounded(self) -> None:
        result = self._open_result()
        if isinstance(result, ChangelogResult) and not result.bounded:
            raise ProgrammingError(_UNBOUNDED)


def _close(result: Result) -> None:
    if isinstance(result, BatchResult):
        result.cancel()
    elif isinstance(result, ChangelogResult):
        result.close()
