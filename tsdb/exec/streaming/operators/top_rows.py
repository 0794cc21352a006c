"""The first rows of each group, for ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) <= n."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, empty, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.operators.group_order import OrderColumn, can_order, ordered
from tsdb.exec.streaming.row_heap import RowHeap
from tsdb.row_hash import I64, Mask, arrays, group_equal, group_rows, hash_rows, take


class TopRows:
    """Δout = top((I(in) + Δin)[P]) - top(I(in)[P]), where P are the groups that Δin touches.

    State: the rows in a heap, and by group the numbers of those that are shown. Of an input that only grows the others
    are not kept: they will never be shown. Otherwise they are, in case that a shown one goes; but as long as nothing
    goes they are only put aside, and nobody looks at them: their index is made when the first row goes.

    Rows that are equal in the order stay as they came: numbers ascend, so the older one is first, and the rank of a
    shown row is its place among the shown ones. Only the columns of the order are looked at to decide.
    """

    def __init__(
        self, key: Sequence[int], order: Sequence[OrderColumn], most: int, schema: pa.Schema, *, grows: bool
    ) -> None:
        """key: positions of the group's columns. most: how many rows. schema: of the output, the rank is the last.
        grows: the input takes no row back.
        """
        self._key = tuple(key)
        self._order = list(order)
        self._most = most
        self._schema = schema
        self._grows = grows
        self._input = pa.schema(list(schema)[:-1])
        self._rows = RowHeap(self._input)
        self._shown = self._index()
        self._all: Arrangement | None = None
        self._owed = empty(self._input)

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """Rows that get another rank or none leave with the old one; rows with a new rank come."""
        (delta,) = deltas
        if not delta.num_rows:
            return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        if self._owed.num_rows or (delta.weights <= 0).any():
            delta = consolidate(plus([self._owed, delta], self._input))
            self._owed = empty(self._input)
        went = delta.weights < 0
        assert not (self._grows and went.any()), "an input that only grows took a row back"
        copies = np.maximum(delta.weights, 0)
        new = delta.rows if (copies == 1).all() else _repeated(delta.rows, copies)
        columns = arrays(new)
        keys = [columns[k] for k in self._key]
        if not went.any():
            old, group_of_old, group_of_new = self._shown_under(keys, keys, new.num_rows)
            shown, present = np.ones(len(old), np.bool_), np.ones(len(old), np.bool_)
        else:
            gone = ChangeBatch(delta.rows.filter(pa.array(went)), -delta.weights[went])
            old, group_of_old, group_of_new, shown, present = self._with_all(keys, gone, new.num_rows)
        groups = np.concatenate([group_of_old, group_of_new])
        by_rank = ordered(groups, self._order, self._values(old, columns))
        fresh = np.ones(len(group_of_new), np.bool_)
        was = _places(groups, by_rank, np.concatenate([shown, ~fresh]))
        now = _places(groups, by_rank, np.concatenate([present, fresh]))
        now[now > self._most] = 0
        count = len(old)
        change = self._difference(old, was[:count], now[:count], columns, now[count:])
        self._remember(old, was[:count], now[:count], present, columns, now[count:])
        return change

    def describe(self) -> str:
        """Group, order and number."""
        order = [f"{o.column}{'' if o.ascending else ' desc'}" for o in self._order]
        return f"TopRows key={list(self._key)} order=[{', '.join(order)}] best={self._most}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The rows, and their numbers by group."""
        owed = self._owed.rows.append_column("weight", pa.array(self._owed.weights))
        return {
            "rows": self._rows.checkpoint(store),
            "shown": self._shown.checkpoint(store),
            "all": None if self._all is None else self._all.checkpoint(store),
            "owed": store.put(owed) if owed.num_rows else None,
        }

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The rows, and their numbers by group."""
        self._shown.restore(manifest["shown"], store)
        if manifest["all"] is not None:
            self._all = self._index()
            self._all.restore(manifest["all"], store)
        of_live = self._shown if self._grows else self._all
        self._rows.restore(manifest["rows"], store, None if of_live is None else self._numbers_in(of_live.parts()))
        self._owed = empty(self._input)
        if manifest["owed"] is not None:
            table = store.get(manifest["owed"])
            rows = table.select(range(len(self._input))).cast(self._input)
            self._owed = ChangeBatch(rows, np.array(table.column("weight").to_numpy()))

    def state_size(self) -> StateSize:
        """The rows and the indexes."""
        sizes = [a.state_size().size_bytes for a in (self._shown, self._all) if a is not None]
        rows = self._rows.state_size()
        return StateSize(rows.rows + self._owed.num_rows, rows.size_bytes + sum(sizes))

    def _index(self) -> Arrangement:
        """Numbers of rows by group."""
        kinds = [*(self._schema.types[k] for k in self._key), pa.int64()]
        return Arrangement(positional(kinds), range(len(self._key)))

    def _shown_under(
        self, touched: Sequence[pa.Array], keys: Sequence[pa.Array], rows: int, index: Arrangement | None = None
    ) -> tuple[I64, I64, I64]:
        """Under the touched keys (of which the first ones are those of new rows): the numbers of the rows of an index,
        ascending, and their groups; and the group of each row of `touched`.
        """
        groups = group_rows(touched, hash_rows(touched, rows))
        group_keys = take(touched, groups.first)
        found = (index or self._shown).lookup(group_keys, hash_rows(group_keys, groups.count), [len(keys)])
        numbers = np.asarray(arrays(found.rows)[0].to_numpy())
        # what is not in the index any more is there twice, and weighs nothing
        order = np.argsort(numbers)
        numbers, probe, weights = numbers[order], found.probe[order], found.weights[order]
        if not len(numbers):
            return numbers, probe, groups.ids()
        starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        live = np.add.reduceat(weights, starts) > 0
        return numbers[starts][live], probe[starts][live], groups.ids()

    def _with_all(self, keys: Sequence[pa.Array], gone: ChangeBatch, rows: int) -> tuple[I64, I64, I64, Mask, Mask]:
        """As `_shown_under`, for all rows of the groups; and which of them are shown, and which stay."""
        if self._all is None:
            self._all = self._index()
            numbers, kept = self._rows.everything(self._key)
            self._reindex(self._all, numbers, arrays(kept), 1)
        gone_keys = arrays(gone.rows, self._key)
        touched = [pa.concat_arrays([new, old]) for new, old in zip(keys, gone_keys, strict=True)]
        rows_touched = rows + gone.num_rows
        shown, _, _ = self._shown_under(touched, keys, rows_touched)
        old, group_of_old, groups = self._shown_under(touched, keys, rows_touched, self._all)
        found, missing = _matching(self._rows.take(old), gone)
        self._owed = ChangeBatch(gone.rows.filter(pa.array(missing > 0)), -missing[missing > 0])
        return old, group_of_old, groups[:rows], np.isin(old, shown), ~found

    def _values(self, old: I64, columns: Sequence[pa.Array]) -> Callable[[int, I64], pa.Array]:
        """The values of a column for candidates: first the old rows, then the new."""
        kept = self._rows.take(old, [o.column for o in self._order])

        def values(column: int, rows: I64) -> pa.Array:
            place = next(i for i, o in enumerate(self._order) if o.column == column)
            is_old = rows < len(old)
            if not is_old.any():
                return columns[column].take(pa.array(rows - len(old)))
            parts = [
                arrays(kept, [place])[0].take(pa.array(rows[is_old])),
                columns[column].take(pa.array(rows[~is_old] - len(old))),
            ]
            at = np.where(is_old, np.cumsum(is_old) - 1, np.cumsum(~is_old) - 1 + np.count_nonzero(is_old))
            return pa.concat_arrays(parts).take(pa.array(at))

        return values

    def _difference(self, old: I64, was: I64, now: I64, columns: Sequence[pa.Array], ranks: I64) -> ChangeBatch:
        """The change of the output. was, now: ranks of the old rows (0: not shown); ranks: of the new ones."""
        moved = np.flatnonzero(was != now)
        leaves, comes, fresh = moved[was[moved] > 0], moved[now[moved] > 0], np.flatnonzero(ranks)
        rows = self._rows.take(old[moved])
        parts = [
            rows if len(leaves) == len(moved) else rows.take(pa.array(np.searchsorted(moved, leaves))),
            rows.take(pa.array(np.searchsorted(moved, comes))),
            pa.Table.from_arrays(take(columns, fresh), schema=self._input),
        ]
        rank = pa.array(np.concatenate([was[leaves], now[comes], ranks[fresh]]).astype(np.uint64))
        weights = np.repeat(np.array([-1, 1], np.int64), [len(leaves), len(comes) + len(fresh)])
        every = [*pa.concat_tables(parts).columns, rank.cast(self._schema.types[-1])]
        return ChangeBatch(pa.Table.from_arrays(every, schema=self._schema), weights)

    def _remember(self, old: I64, was: I64, now: I64, present: Mask, columns: Sequence[pa.Array], ranks: I64) -> None:
        """Take the change into the state."""
        keys = [columns[k] for k in self._key]
        hidden, shown = old[(was > 0) & (now == 0)], old[(was == 0) & (now > 0)]
        self._reindex(self._shown, hidden, arrays(self._rows.take(hidden, self._key)), -1)
        self._reindex(self._shown, shown, arrays(self._rows.take(shown, self._key)), 1)
        if self._all is not None:
            gone = old[~present]
            self._reindex(self._all, gone, arrays(self._rows.take(gone, self._key)), -1)
        self._rows.free(hidden if self._grows else old[~present])
        kept = np.flatnonzero(ranks > 0) if self._grows else np.arange(len(ranks))
        rows = columns if len(kept) == len(ranks) else take(columns, kept)
        numbers = self._rows.add(pa.Table.from_arrays(rows, schema=self._input))
        if self._all is not None:
            self._reindex(self._all, numbers, keys, 1)
        fresh = ranks[kept] > 0
        self._reindex(self._shown, numbers[fresh], take(keys, kept[fresh]), 1)

    def _reindex(self, index: Arrangement, numbers: I64, keys: Sequence[pa.Array], weight: int) -> None:
        if not len(numbers):
            return
        columns = [*keys, pa.array(numbers)]
        rows = pa.Table.from_arrays(columns, schema=positional([c.type for c in columns]))
        index.insert(ChangeBatch(rows, np.full(len(numbers), weight, np.int64)))

    def _numbers_in(self, parts: Sequence[ChangeBatch]) -> I64:
        """The numbers in an index."""
        numbers = [np.asarray(arrays(part.rows, [len(self._key)])[0].to_numpy()) for part in parts]
        distinct, place = np.unique(np.concatenate([np.empty(0, np.int64), *numbers]), return_inverse=True)
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, place, np.concatenate([np.empty(0, np.int64), *(part.weights for part in parts)]))
        return np.asarray(distinct[total > 0])


def _matching(rows: pa.Table, gone: ChangeBatch) -> tuple[Mask, I64]:
    """Which rows are those that go (each as often as it weighs), and how often each of them was not found."""
    count = rows.num_rows
    both = pa.concat_tables([rows, gone.rows])
    groups = group_equal(arrays(both), both.num_rows)
    ids = groups.ids()
    wanted = np.zeros(groups.count, np.int64)
    np.add.at(wanted, ids[count:], gone.weights)
    # of equal rows the youngest goes: it is the last that is shown
    by_id = np.argsort(ids[:count][::-1], kind="stable")
    by_id = count - 1 - by_id
    in_order = ids[:count][by_id]
    nth = np.arange(count) - np.searchsorted(in_order, in_order)
    found = np.zeros(count, np.bool_)
    found[by_id] = nth < wanted[in_order]
    there = np.bincount(ids[:count], minlength=groups.count)
    return found, np.maximum(wanted - there, 0)[ids[count:]]


def can_keep_top(schema: pa.Schema, key: Sequence[int], order: Sequence[OrderColumn]) -> bool:
    """Whether groups and order are of types that are compared here as DataFusion compares them."""
    apart = all(not pa.types.is_floating(schema.types[k]) and not pa.types.is_nested(schema.types[k]) for k in key)
    return apart and all(can_order(schema.types[o.column]) for o in order)


def _places(groups: I64, order: I64, among: Mask) -> I64:
    """The place of each row among those of its group that are marked, from 1; 0: it is not marked itself."""
    if not len(order):
        return np.empty(0, np.int64)
    in_order, marked = groups[order], among[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    so_far = np.cumsum(marked)
    before: I64 = np.repeat(so_far[starts] - marked[starts], np.diff(np.append(starts, len(order))))
    places = np.empty(len(order), np.int64)
    places[order] = np.where(marked, so_far - before, 0)
    return places


def _repeated(rows: pa.Table, copies: I64) -> pa.Table:
    return rows.take(pa.array(np.repeat(np.arange(len(copies)), copies)))
