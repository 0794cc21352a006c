"""`partial-update`: every column of a key has its last value that is not NULL.

Columns of a sequence group go together instead: they have the values, NULL included, of the row with the largest tuple
of the group's sequence columns (NULL the smallest, of equal ones the last; a row whose tuple is all NULL does not touch
the group). A column of a group may have a function, which also takes the rows that lost, as if they had come first.

A -U or -D row retracts from its groups: the sequence moves on, plain columns become NULL, functions take the value
back. With 'partial-update.remove-record-on-delete', or if it wins in a group of
'partial-update.remove-record-on-sequence-group', a -D removes the row; what comes after goes on from the values of the
-D row itself. So does a key whose first row is a retraction. Source: Paimon, `PartialUpdateMergeFunction`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.changes import RowKind
from tsdb.errors import NotSupportedError
from tsdb.format.parquet import VALUE_KIND
from tsdb.mergetree.key_order import grouped_order, order_words
from tsdb.mergetree.merge_engine.aggregation import folded_rows
from tsdb.mergetree.merge_engine.choice import KeyValue, LastNonNullValue
from tsdb.mergetree.merge_engine.column_rule import ColumnRule, one_array, single_rows_of
from tsdb.mergetree.merge_engine.events import Events, take

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SequenceGroup:
    """sequence: its sequence columns. members: the others, with their rules (None: plain). removes: a -D that wins
    removes the row.
    """

    sequence: tuple[str, ...]
    members: tuple[tuple[str, ColumnRule | None], ...]
    removes: bool = False


@dataclass(frozen=True, slots=True)
class PartialUpdate:
    """key: the primary key. columns: all columns of the table."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[SequenceGroup, ...] = ()
    remove_on_delete: bool = False
    name: str = "partial-update"

    def columns_for(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The wanted columns, the sequence of each of their groups, and of groups that can remove a row."""
        names = dict.fromkeys(wanted)
        for group in self.groups:
            if group.removes or not names.keys().isdisjoint([*group.sequence, *(name for name, _ in group.members)]):
                names.update(dict.fromkeys(group.sequence))
        return tuple(names)

    def check(self, rows: pa.Table, kinds: npt.NDArray[np.int8]) -> None:
        """Raise NotSupportedError for retractions that the table, or the function of a column, cannot take."""
        retracts = (kinds == RowKind.DELETE) | (kinds == RowKind.UPDATE_BEFORE)
        if not retracts.any():
            return
        if not self.groups:
            self._check_removes()
        for group in self.groups:
            touched = np.zeros(rows.num_rows, np.bool_)
            for name in group.sequence:
                touched |= rows[name].is_valid().to_numpy()
            if (touched & retracts).any():
                for _, rule in group.members:
                    if rule is not None:
                        rule.check_retractions()

    def _check_removes(self) -> None:
        if not self.remove_on_delete:
            raise NotSupportedError(
                "'merge-engine' = 'partial-update' cannot take -U and -D rows by itself, and there are some: set "
                "'ignore-delete' = 'true' to leave them out, 'partial-update.remove-record-on-delete' = 'true' to let "
                "-D remove the row, or define sequence groups to retract some of the columns"
            )

    def fold(self, rows: pa.Table, order: I64, starts: I64) -> pa.Table:
        """See `FoldEngine.fold`."""
        kinds = one_array(rows[VALUE_KIND]).to_numpy(zero_copy_only=False)[order].astype(np.int8, copy=False)
        singles = single_rows_of(order, starts)
        retracts = (kinds == RowKind.DELETE) | (kinds == RowKind.UPDATE_BEFORE)
        merged_kinds = np.zeros(len(starts) - 1, np.int8)
        newest = order[starts[1:] - 1]
        free = {name: _KEY if name in self.key else _FREE for name in self.columns}
        if not self.groups:
            events = Events(order, starts)
            if retracts.any():
                events, merged_kinds = self._without_retractions(Events(order, starts, retracts), kinds, singles)
            merged_kinds = _keep_single(merged_kinds, kinds, starts, singles)
            return folded_rows(rows, newest, merged_kinds, free, events, singles)
        events = _seeded(Events(order, starts, retracts if retracts.any() else None), singles)
        present = [g for g in self.groups if all(name in rows.column_names for name in g.sequence)]
        ranks = {group: _ranks(rows, group) for group in present}
        events, removed = _removals(events, rows, [ranks[group] for group in present if group.removes])
        if events.retracts is not None:
            added = Events(order, starts).any(~retracts)
            merged_kinds[~added | removed] = RowKind.DELETE
        merged_kinds = _keep_single(merged_kinds, kinds, starts, singles)
        adds = events.kept(events.adds)
        ungrouped = [name for name in rows.column_names if not any(_has(group, name) for group in present)]
        folded = folded_rows(rows.select(ungrouped), newest, merged_kinds, free, adds, singles)
        columns = dict(zip(folded.column_names, folded.columns, strict=True))
        for group in present:
            columns.update(_group_columns(rows, group, ranks[group], events, singles))
        return pa.Table.from_arrays([columns[name] for name in rows.column_names], schema=rows.schema)

    def _without_retractions(
        self, events: Events, kinds: npt.NDArray[np.int8], singles: I64 | None
    ) -> tuple[Events, npt.NDArray[np.int8]]:
        """What is left of retractions in a table without sequence groups, and the kinds of the merged rows."""
        assert events.retracts is not None
        several = np.ones(len(events), np.bool_) if singles is None else singles[events.keys] < 0
        if (events.retracts & several).any():
            self._check_removes()
        deletes = kinds == RowKind.DELETE
        removed = events.last(deletes)
        merged = np.zeros(events.key_count, np.int8)
        merged[~events.any(events.adds) | deletes[events.starts[1:] - 1]] = RowKind.DELETE
        first = events.starts[:-1]
        removed = np.where((removed < 0) & events.retracts[first], first, removed)
        events = events.from_seeds(removed)
        return events.kept(events.adds), merged


_KEY = ColumnRule("", KeyValue())
_FREE = ColumnRule("", LastNonNullValue())


@dataclass(frozen=True)
class _Ranks:
    """The tuples of a group as numbers, by row of the table: they compare as the tuples do."""

    numbers: I64
    empty: Mask

    def winners(self, events: Events) -> tuple[Mask, Mask]:
        """Which events touch the group, and which of these are not older than all before."""
        used = ~self.empty[events.rows]
        if events.seeds is not None:
            used |= events.seeds
        numbers = np.where(used, self.numbers[events.rows] + 1, 0)
        offsets = events.keys * (int(self.numbers.max(initial=0)) + 2)
        largest = np.maximum.accumulate(numbers + offsets)
        before = np.zeros(len(events), np.int64)
        before[1:] = largest[:-1]
        return used, used & (numbers + offsets >= before)


def _ranks(rows: pa.Table, group: SequenceGroup) -> _Ranks:
    columns = [rows[name] for name in group.sequence]
    words = order_words([columns])[0]
    order, starts = grouped_order(words)
    numbers = np.empty(rows.num_rows, np.int64)
    numbers[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    empty = np.ones(rows.num_rows, np.bool_)
    for column in columns:
        empty &= column.is_null().to_numpy()
    return _Ranks(numbers, empty)


def _has(group: SequenceGroup, name: str) -> bool:
    return name in chain(group.sequence, (member for member, _ in group.members))


def _keep_single(
    merged: npt.NDArray[np.int8], kinds: npt.NDArray[np.int8], starts: I64, singles: I64 | None
) -> npt.NDArray[np.int8]:
    return merged if singles is None else np.where(singles < 0, merged, kinds[starts[:-1]])


def _seeded(events: Events, singles: I64 | None) -> Events:
    """A key that begins with a retraction begins with the values of it, and then takes them back."""
    if events.retracts is None:
        return events
    begins = events.retracts[events.starts[:-1]]
    if singles is not None:
        begins &= singles < 0
    if not begins.any():
        return events
    copies = np.ones(len(events), np.int64)
    first = events.starts[:-1][begins]
    copies[first] = 2
    at = np.repeat(np.arange(len(events)), copies)
    starts = np.concatenate(([0], np.cumsum(copies)))[events.starts]
    seeds = np.zeros(len(at), np.bool_)
    seeds[starts[:-1][begins]] = True
    return Events(events.rows[at], starts, events.retracts[at] & ~seeds, None, seeds)


def _removals(events: Events, rows: pa.Table, removing: list[_Ranks]) -> tuple[Events, Mask]:
    """The events from the last removal of each key on, and which keys end with one.

    A removal sets the sequences back to its own, so which -D wins after it depends on it: the removals of a key are
    found one after the other, those of all keys together.
    """
    ends_removed = np.zeros(events.key_count, np.bool_)
    if not removing or events.retracts is None:
        return events, ends_removed
    deletes = one_array(rows[VALUE_KIND]).to_numpy(zero_copy_only=False) == RowKind.DELETE
    while True:
        assert events.retracts is not None
        wins = np.zeros(len(events), np.bool_)
        for ranks in removing:
            wins |= ranks.winners(events)[1]
        found = events.first(wins & events.retracts & deletes[events.rows])
        if (found < 0).all():
            return events, ends_removed
        ends_removed = np.where(found < 0, ends_removed, found == events.starts[1:] - 1)
        events = events.from_seeds(found)


def _group_columns(
    rows: pa.Table, group: SequenceGroup, ranks: _Ranks, events: Events, singles: I64 | None
) -> dict[str, pa.Array]:
    """The columns of one group that are in `rows`."""
    used, wins = ranks.winners(events)
    last = events.last(wins)
    winner = events.rows_at(last)
    plain = winner
    if events.retracts is not None:
        plain = np.where((last >= 0) & events.retracts[last], -1, winner)
    if singles is not None:
        winner, plain = (np.where(singles < 0, found, singles) for found in (winner, plain))
    columns = {name: take(one_array(rows[name]), winner) for name in group.sequence}
    for name, rule in group.members:
        if name not in rows.column_names or name in group.sequence:
            continue
        if rule is None:
            columns[name] = take(one_array(rows[name]), plain)
            continue
        late = ~wins
        earlier = tuple(part.kept(~ranks.empty[part.rows]) for part in events.earlier)
        aggregated = replace(events, late=late if late.any() else None, earlier=earlier)
        columns[name] = rule.fold(one_array(rows[name]), aggregated.kept(used), singles)
    return columns
