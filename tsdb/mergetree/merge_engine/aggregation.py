"""`aggregation`: every column of a key is folded by a function of its own.

Source: Paimon, `AggregateMergeFunction`, whose rules these are, down to what remains after a -D with
'aggregation.remove-record-on-delete': the next row goes on from the values of the deleting row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.changes import RowKind
from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.merge_engine.column_rule import ColumnRule, one_array, single_rows_of
from tsdb.mergetree.merge_engine.events import Events

I64 = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """rules: one for every column of the table."""

    rules: tuple[ColumnRule, ...]
    remove_on_delete: bool = False
    name: str = "aggregation"

    def columns_for(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The wanted columns: each depends on itself only."""
        return tuple(wanted)

    def check(self, rows: pa.Table, kinds: Kinds) -> None:
        """Raise NotSupportedError for retractions that a function cannot take."""
        retracts = kinds == RowKind.UPDATE_BEFORE
        if not self.remove_on_delete:
            retracts = retracts | (kinds == RowKind.DELETE)
        if retracts.any():
            for rule in self.rules:
                rule.check_retractions()

    def fold(self, rows: pa.Table, order: I64, starts: I64) -> pa.Table:
        """See `FoldEngine.fold`."""
        kinds = one_array(rows[VALUE_KIND]).to_numpy(zero_copy_only=False)[order].astype(np.int8, copy=False)
        singles = single_rows_of(order, starts)
        events = Events(order, starts)
        merged_kinds = np.zeros(len(starts) - 1, np.int8)
        if kinds.any():
            retracts = (kinds == RowKind.DELETE) | (kinds == RowKind.UPDATE_BEFORE)
            if retracts.any():
                events = Events(order, starts, retracts)
            if self.remove_on_delete:
                deletes = kinds == RowKind.DELETE
                merged_kinds[deletes[starts[1:] - 1]] = RowKind.DELETE
                events = events.from_seeds(events.last(deletes))
        if singles is not None:
            merged_kinds = np.where(singles < 0, merged_kinds, kinds[starts[:-1]])
        rules = {rule.column: rule for rule in self.rules}
        return folded_rows(rows, order[starts[1:] - 1], merged_kinds, rules, events, singles)


def folded_rows(
    rows: pa.Table,
    newest: I64,
    kinds: Kinds,
    rules: Mapping[str, ColumnRule],
    events: Events,
    singles: I64 | None,
) -> pa.Table:
    """A row a key: columns with a rule are folded, system columns made. newest: the newest row of each key."""
    columns = []
    for name in rows.column_names:
        if name == VALUE_KIND:
            columns.append(pa.array(kinds, pa.int8()))
        elif name == SEQUENCE_NUMBER:
            columns.append(one_array(rows[name]).take(pa.array(newest)))
        else:
            columns.append(rules[name].fold(one_array(rows[name]), events, singles))
    return pa.Table.from_arrays(columns, schema=rows.schema)
