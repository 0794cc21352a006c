"""Folding one column with its function."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.errors import NotSupportedError
from tsdb.mergetree.merge_engine.aggregate import Aggregate
from tsdb.mergetree.merge_engine.choice import Extreme
from tsdb.mergetree.merge_engine.events import Events, take
from tsdb.mergetree.merge_engine.numbers import Bool, Product, Sum

I64 = npt.NDArray[np.int64]
# functions for which the value of a single row is the value itself
_KEEPS_ONE = (Bool, Extreme, Product, Sum)


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """A column and its function. ignore_retract: retractions change nothing."""

    column: str
    function: Aggregate
    ignore_retract: bool = False

    def fold(self, column: pa.Array, events: Events, single_rows: I64 | None) -> pa.Array:
        """The value of each key. single_rows: the row of a key that has only this one, whose value stays as it is; -1:
        the key has several (None: all have).

        Raises NotSupportedError for retractions that the function cannot take.
        """
        had_retractions = events.retracts is not None
        if had_retractions and self.ignore_retract:
            events = events.kept(events.adds)
        elif had_retractions and not self.function.retracts:
            self._refuse(events, single_rows)
        found = self.function.fold(column, events)
        if isinstance(found, np.ndarray):
            return take(column, found if single_rows is None else np.where(single_rows < 0, found, single_rows))
        keeps_one = isinstance(self.function, _KEEPS_ONE) and not had_retractions and not events.has_empty
        if single_rows is None or keeps_one:
            return found
        computed = np.where(single_rows < 0, len(column) + np.arange(len(single_rows)), single_rows)
        return pa.concat_arrays([column, found.cast(column.type)]).take(pa.array(computed))

    def _refuse(self, events: Events, single_rows: I64 | None) -> None:
        retracts = events.retracts
        assert retracts is not None
        if single_rows is not None:
            retracts = retracts & (single_rows[events.keys] < 0)
        if retracts.any():
            self.check_retractions()

    def check_retractions(self) -> None:
        """Raise NotSupportedError if the column cannot take retractions."""
        if not self.ignore_retract and not self.function.retracts:
            raise NotSupportedError(
                f"column `{self.column}`: the function '{self.function.name}' cannot take back a value, but a -U or -D "
                f"row came; set 'fields.{self.column}.ignore-retract' = 'true' to leave such rows out of it"
            )


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array, without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def single_rows_of(order: I64, starts: I64) -> I64 | None:
    """For each key its row if it has only one, else -1; None: all keys have several."""
    single = np.diff(starts) == 1
    return np.where(single, order[starts[:-1]], -1) if single.any() else None
