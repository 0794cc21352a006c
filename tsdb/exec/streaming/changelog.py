"""A streaming SELECT: the changes of its result, version by version, as rows with a first column `op`.

Pull-driven: whoever asks for the next changes runs the dataflow, so there is no thread to leak and Ctrl-C works.
What is handed out belongs to one version, and to a whole one before the next begins: a reader never sees half a
transaction.
"""

import threading
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.changes import ROW_KIND_SYMBOLS, ChangeBatch, RowKind, plus, to_row_kinds
from tsdb.errors import (
    BindError,
    Cancelled,
    DataError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
)
from tsdb.exec.engine import zoned_schema
from tsdb.exec.failure import ErrorScope
from tsdb.exec.failure_place import place_of
from tsdb.exec.streaming.assemble import PlannedQuery, assemble
from tsdb.exec.streaming.late_table import refuse_late_rows
from tsdb.exec.streaming.pipeline import Dataflow, Pipeline
from tsdb.exec.streaming.waiter import Waiter

_CLOSE_S = 0.4
_OVERTIME_S = 0.1
"""How far beyond its time-out a call may go while there is something to work on: `next(0)` gives what is there."""

_SYMBOLS = pa.array(ROW_KIND_SYMBOLS, pa.string())


def open_changelog(plan: PlannedQuery, *, upsert: bool = False, scope: ErrorScope | None = None) -> "ChangelogResult":
    """Run a planned SELECT as a stream. upsert: without the rows before an update. scope: the text, for the place of
    an error. Raises NotSupportedError for what cannot.
    """
    refuse_late_rows(list(plan.relations.values()))
    try:
        assembly = assemble(plan)
    except NotSupportedError as err:
        if err.position is None and scope is not None:
            place = place_of(err.message, scope.query, scope.statement)
            # its last resort, where the statement begins, is left to who knows what the message names in the text
            if scope.statement is not None and place != scope.statement.position:
                err.position = place
        raise
    if upsert and assembly.dataflow.upsert_key is None and not assembly.branch.append_only:
        assembly.pipeline.close()
        raise NotSupportedError(
            "the result has no key by which a row could replace another: SET 'execution.changelog-mode' = 'retract', "
            "or select the columns that GROUP BY or a primary key makes unique"
        )
    shown = zoned_schema(plan.schema, plan.zone)
    return ChangelogResult(
        assembly.pipeline, assembly.dataflow, bounded=assembly.bounded, schema=shown, upsert=upsert, scope=scope
    )


class ChangelogResult:
    """An open streaming query. One thread reads it; `close` may come from any."""

    def __init__(
        self,
        pipeline: Pipeline,
        dataflow: Dataflow,
        *,
        bounded: bool,
        schema: pa.Schema | None = None,
        upsert: bool = False,
        scope: ErrorScope | None = None,
    ) -> None:
        """dataflow: what the pipeline drives.

        schema: the names and types that the user sees, if they differ from those of the dataflow. upsert: leave out
        the rows before an update.
        """
        self._upsert = upsert
        self._scope = ErrorScope() if scope is None else scope
        self._pipeline = pipeline
        self._key = dataflow.upsert_key
        self._output = dataflow.schema
        self._shown = self._output if schema is None else schema
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._waiter = Waiter(self._stop)
        self._ready = self._empty = self._with_op(self._output.empty_table(), np.empty(0, np.int8))
        self._parts: list[ChangeBatch] = []
        self._ended = False
        self._failure: BaseException | None = None
        self.schema: pa.Schema = self._empty.schema
        self.bounded = bounded
        self.version = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def next(self, timeout_s: float | None = None, rows_max: int | None = None) -> pa.Table | None:
        """The next changes, of one version, rows_max rows at most; waits for at least one.

        None: the query has ended. An empty table: there was nothing within timeout_s (0: what is there now; None:
        for ever). Raises what made the query fail, again at each call; InterfaceError if it is closed.
        """
        with self._lock:
            deadline = None if timeout_s is None else clock.current().monotonic_s() + timeout_s
            self._waiter.reset()
            while not self._ready.num_rows:
                self._check_open()
                if self._ended:
                    return None
                with self._waiter.look():
                    moved = self._advance()
                if moved and deadline is not None and clock.current().monotonic_s() > deadline + _OVERTIME_S:
                    return self._take(rows_max)
                if moved or self._ended:
                    continue
                if not self._waiter.wait(deadline, self._pipeline.signs):
                    return self._empty
            return self._take(rows_max)

    def until_caught_up(self, timeout_s: float) -> Iterator[pa.Table]:
        """The changes up to what the sources hold when they are looked at. Raises OperationalError after timeout_s."""
        deadline = clock.current().monotonic_s() + timeout_s
        while True:
            with self._lock:
                self._check_open()
                if self._ready.num_rows:
                    table = self._take(None)
                elif self._ended:
                    return
                else:
                    moved = self._advance()
                    if not moved and self._pipeline.at_cut:
                        return
                    if clock.current().monotonic_s() > deadline:
                        raise OperationalError(
                            f"the streaming query has not caught up with its sources within {timeout_s:g} s"
                        )
                    continue
            yield table

    def close(self) -> None:
        """End the query and free its sources; may be called twice. A reader that waits gets an InterfaceError."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._waiter.nudge()
        if self._lock.acquire(timeout=_CLOSE_S):
            try:
                self._free()
            finally:
                self._lock.release()
        # else a reader is in a long step: it frees everything when the step is done

    def metrics(self) -> dict[str, object]:
        """Rows in, malformed records passed over, version, and the state of the operators."""
        return {
            "rows_in": self._pipeline.rows_in,
            "records_skipped": self._pipeline.records_skipped,
            "version": self._pipeline.version,
            "operators": self._pipeline.dataflow.metrics(),
        }

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._stop.is_set():
            self._free()
            raise InterfaceError("the streaming query is closed; execute it again")

    def _free(self) -> None:
        self._parts.clear()
        self._ready = self._empty
        self._pipeline.close()

    def _advance(self) -> bool:
        """One step; a completed version becomes `_ready`. Returns whether anything came."""
        try:
            if self._pipeline.at_cut and not self._ready.num_rows:
                self._pipeline.keep_places(None)  # the user has taken all rows up to here
            step = self._pipeline.advance()
            if step is None:
                self._ended = self._pipeline.finished
                return False
            if step.output.num_rows:
                self._parts.append(step.output)
            if step.complete:
                self._complete()
            return True
        except Exception as err:
            if isinstance(err, DataError | BindError | NotSupportedError) and err.position is None:
                err.position = place_of(err.message, self._scope.query, self._scope.statement)
            self._failure = err
            self._free()
            raise
        except (KeyboardInterrupt, SystemExit):
            self._failure = Cancelled("the streaming query was interrupted in the middle of a step; execute it again")
            self._free()
            raise
        except BaseException as err:  # a panic in Rust code is no Exception
            self._failure = InternalError(f"{type(err).__name__}: {err}")
            self._free()
            raise self._failure from err

    def _complete(self) -> None:
        parts, self._parts = self._parts, []
        if not parts:
            return
        changes = plus(parts, self._output)
        rows, kinds = to_row_kinds(changes, self._key)
        if self._upsert:
            kept = kinds != RowKind.UPDATE_BEFORE
            rows, kinds = rows.filter(pa.array(kept)), kinds[kept]
        self._ready = self._with_op(rows, kinds)

    def _take(self, rows_max: int | None) -> pa.Table:
        table = self._ready if rows_max is None else self._ready.slice(0, rows_max)
        self._ready = self._ready.slice(table.num_rows)
        self.version = self._pipeline.version
        return table

    def _with_op(self, rows: pa.Table, kinds: np.ndarray[Any, Any]) -> pa.Table:
        columns = [
            column.cast(field.type) if column.type != field.type else column
            for column, field in zip(rows.columns, self._shown, strict=True)
        ]
        fields = [pa.field("op", pa.string(), nullable=False), *self._shown]
        return pa.table([_SYMBOLS.take(pa.array(kinds, pa.int8())), *columns], schema=pa.schema(fields))
