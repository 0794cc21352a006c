"""GROUP BY with aggregates that can be kept up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, consolidate
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.operators.accumulator import Accumulator, FloatTotal, Touched
from tsdb.exec.streaming.operators.distinct_weights import DistinctWeights, Values, values_of
from tsdb.exec.streaming.operators.extremum import Extremum
from tsdb.exec.streaming.operators.text_extremum import TextExtremum
from tsdb.exec.streaming.state_memory import current_state_memory
from tsdb.exec.streaming.state_ttl import dropped, keys_due, last_writes, ttl_text, writes_found, writes_kept
from tsdb.exec.streaming.watermark import END, Mark, below, nanoseconds
from tsdb.row_hash import I64, U64, Mask, arrays, equal_rows, group_rows, hash_rows, take

_FIRST_CAPACITY = 1024


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate: where its argument and FILTER stand in the input (None: has none), and how it is accumulated."""

    accumulator: Accumulator
    argument: int | None
    condition: int | None
    distinct: DistinctWeights | None


class GroupAggregate:
    """Δout = new - old over the groups G of Δin: old = out(state[G]), state[G] += Σ weight·value, new = out(state[G]).

    State: the slot of each group's key (an arrangement), and per slot the number of rows and the accumulators, in
    flat arrays. A group is there as long as it has rows; a global aggregate (no keys) always has its one row. Slots
    of groups that went are used again.
    """

    def __init__(
        self, keys: pa.Schema, calls: Sequence[AggregateCall], schema: pa.Schema, text: str, *, expires: bool = False
    ) -> None:
        """keys: the first columns of the input; schema: of the output, the keys and then the aggregates. expires:
        groups have a time to live, if there is one.
        """
        self._width = len(keys)
        self._calls = list(calls)
        self._schema = schema
        self._text = text
        self._slots = Arrangement(positional([*keys.types, pa.int64()]), range(self._width))
        self._memory = current_state_memory()
        self._rows = np.zeros(0, np.int64)
        self._changed = np.zeros(0, np.bool_)
        self._used = 0
        self._free = np.zeros(0, np.int64)
        self._started = False
        self._stored: list[tuple[str, int]] = []
        self._layout: Any = None
        self._least: dict[int, int] = {}
        self._writes = last_writes() if expires else None

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The groups whose result changed: the old row leaves, the new one comes."""
        (delta,) = deltas
        first, self._started = not self._started, True
        if self._width == 0:
            return self._global_step(delta, first)
        if not delta.num_rows:
            return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        if self._writes is not None and (delta.weights < 0).any():
            delta = consolidate(delta)
            if not delta.num_rows:
                return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        columns = arrays(delta.rows)
        keys = columns[: self._width]
        groups = group_rows(keys, hash_rows(keys, delta.num_rows))
        group_keys = take(keys, groups.first)
        hashes = hash_rows(group_keys, groups.count)
        slots = self._slots_of(group_keys, hashes)
        touched = Touched(keys, groups, group_keys, hashes, slots)
        was = self._rows[slots] > 0
        if self._writes is not None:
            # what a group was that is not there any more cannot be taken back
            unknown = (delta.weights < 0) & ~was[groups.ids()]
            if unknown.any():
                self._release(group_keys, slots[~was], ~was)
                return self.step([ChangeBatch(delta.rows.filter(pa.array(~unknown)), delta.weights[~unknown])])
            self._writes.touch(hashes)
        before = self._results(slots)
        self._accumulate(touched, columns, delta.weights)
        now = self._rows[slots] > 0
        after = self._results(slots)
        self._release(group_keys, slots[~now], ~now)
        for column, least in self._least.items():
            self._least[column] = min(least, nanoseconds(pc.min(group_keys[column])) or END)
        return self._difference(group_keys, was, before, now, after)

    def forget(self, mark: Mark) -> None:
        """Drop the groups for which nothing comes any more. mark: of a key column."""
        if mark.bound.now is None or mark.bound.now <= self._least.setdefault(mark.column, -END):
            return
        live = self._slots.everything()
        gone = below(live.rows.column(mark.column), mark.bound.now)
        keys = arrays(live.rows)
        if gone.any():
            at = np.flatnonzero(gone)
            self._release(take(keys[: self._width], at), keys[self._width].take(pa.array(at)).to_numpy(), None)
            for arrangement in self._arrangements().values():
                arrangement.forget(mark.column, mark.bound.now)
        self._least = {c: nanoseconds(pc.min(live.rows.column(c).filter(pa.array(~gone)))) or END for c in self._least}

    def expire(self) -> None:
        """Drop the groups that nothing has touched for the time to live."""
        due = keys_due(self._writes)
        if not len(due):
            return
        gone = consolidate(self._slots.under(due))
        keys = arrays(gone.rows)
        self._release(keys[: self._width], keys[self._width].to_numpy(), None)
        for name, arrangement in self._arrangements().items():
            if name.startswith("values"):
                dropped(arrangement, due)
        for call in self._calls:
            if call.distinct is not None:
                call.distinct.drop(due)

    def describe(self) -> str:
        """The keys and aggregates."""
        return f"{self._text} key={list(range(self._width))} mode=accumulate{ttl_text(self._writes)}"

    def state_size(self) -> StateSize:
        """Groups, and what arrangements and arrays take."""
        arrangements = [self._slots, *self._arrangements().values()]
        flat = sum(x.nbytes for x in self._arrays())
        flat += sum(text.texts.state_size().size_bytes for text in self._texts().values())
        rows = self._used - len(self._free) + sum(a.rows for a in arrangements[1:])
        return StateSize(rows, flat + sum(a.state_size().size_bytes for a in arrangements))

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The keys' runs, and the slots that changed since the last checkpoint (all of them when that is less)."""
        layout = [[len(c.accumulator.state), _lowest(c.accumulator)] for c in self._calls]
        if layout != self._layout or sum(n for _, n in self._stored) > 2 * self._used:
            self._stored, self._layout = [], layout
            self._changed[: self._used] = True
        slots = np.flatnonzero(self._changed)
        if len(slots):
            columns = [slots, *(x[slots] for x in self._arrays())]
            table = pa.Table.from_arrays([pa.array(c) for c in columns], names=[f"a{i}" for i in range(len(columns))])
            self._stored.append((store.put(table), len(slots)))
            self._changed[:] = False
        return {
            "slots": self._slots.checkpoint(store),
            "accumulators": [list(s) for s in self._stored],
            "layout": layout,
            "used": self._used,
            "started": self._started,
            "arrangements": {name: a.checkpoint(store) for name, a in self._arrangements().items()},
            "texts": {name: text.texts.checkpoint(store) for name, text in self._texts().items()},
            **writes_kept(self._writes, store),
        }

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The keys' runs and the latest values of all slots."""
        self._slots.restore(manifest["slots"], store)
        for name, arrangement in self._arrangements().items():
            arrangement.restore(manifest["arrangements"][name], store)
        self._used, self._started, self._layout = manifest["used"], manifest["started"], manifest["layout"]
        for call, (width, lowest) in zip(self._calls, self._layout, strict=True):
            call.accumulator.state = [np.zeros(0, np.int64) for _ in range(width)]
            if isinstance(call.accumulator, FloatTotal):
                call.accumulator.lowest = lowest
        self._reserve(self._used)
        writes_found(self._writes, manifest, store)
        self._stored = [(str(name), int(rows)) for name, rows in manifest["accumulators"]]
        for name, _ in self._stored:
            slots, *values = [np.asarray(a.to_numpy()) for a in arrays(store.get(name))]
            for array, some in zip(self._arrays(), values, strict=True):
                array[slots] = some
        for name, text in self._texts().items():
            text.texts.restore(manifest["texts"][name], store, text.live)
        live = np.zeros(self._used, np.int64)
        for part in self._slots.parts():
            np.add.at(live, arrays(part.rows, [self._width])[0].to_numpy(), part.weights)
        self._free = np.flatnonzero(live == 0) if self._width else self._free

    def _global_step(self, delta: ChangeBatch, first: bool) -> ChangeBatch:
        slots = np.zeros(1, np.int64)
        if first:
            self._reserve(1)
            self._used = 1
        before = self._results(slots)
        if delta.num_rows:
            groups = group_rows([], hash_rows([], delta.num_rows))
            touched = Touched([], groups, [], hash_rows([], 1), slots)
            self._accumulate(touched, arrays(delta.rows), delta.weights)
        there = np.ones(1, np.bool_)
        return self._difference([], np.array([not first]), before, there, self._results(slots))

    def _accumulate(self, touched: Touched, columns: Sequence[pa.Array], weights: I64) -> None:
        self._rows[touched.slots] += touched.groups.sum(weights)
        self._changed[touched.slots] = True
        seen: dict[str, Values] = {}
        for call in self._calls:
            counted = weights
            if call.condition is not None:
                holds = columns[call.condition].fill_null(False).to_numpy(zero_copy_only=False)
                counted = np.where(holds, weights, 0)
            values = None if call.argument is None else columns[call.argument]
            if call.distinct is not None and values is not None:
                text = call.distinct.text
                if text not in seen:
                    by_slot = [pa.array(touched.slots[touched.groups.ids()])]
                    seen[text] = values_of(by_slot if call.distinct.by_slot else touched.keys, values)
                counted = call.distinct.step(seen[text], counted)
            call.accumulator.add(touched, values, counted)

    def _results(self, slots: I64) -> list[pa.Array]:
        types = self._schema.types[self._width :]
        results = [c.accumulator.result(slots) for c in self._calls]
        return [r if r.type == t else r.cast(t) for r, t in zip(results, types, strict=True)]

    def _difference(
        self, keys: Sequence[pa.Array], was: Mask, before: list[pa.Array], now: Mask, after: list[pa.Array]
    ) -> ChangeBatch:
        differs = (was != now) | ~equal_rows(before, after, len(was))
        leaves, comes = np.flatnonzero(was & differs), np.flatnonzero(now & differs)
        columns = [
            pa.concat_arrays([old.take(pa.array(leaves)), new.take(pa.array(comes))])
            for old, new in zip([*keys, *before], [*keys, *after], strict=True)
        ]
        if not columns:
            return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        weights = np.repeat(np.array([-1, 1], np.int64), [len(leaves), len(comes)])
        return ChangeBatch(pa.Table.from_arrays(columns, schema=self._schema), weights)

    def _slots_of(self, keys: Sequence[pa.Array], hashes: U64) -> I64:
        """The slot of each key; new keys get one."""
        found = self._slots.lookup(keys, hashes, [self._width])
        # the entries of a key that went and came back cancel in the sum; at most one is left
        there, slots = np.zeros(len(hashes), np.int64), np.zeros(len(hashes), np.int64)
        np.add.at(there, found.probe, found.weights)
        np.add.at(slots, found.probe, found.weights * arrays(found.rows)[0].to_numpy())
        slots[there == 0] = -1
        new = np.flatnonzero(slots < 0)
        if len(new):
            again = self._free[: len(new)]
            self._free = self._free[len(again) :]
            fresh = np.arange(self._used, self._used + len(new) - len(again))
            self._used += len(fresh)
            self._reserve(self._used)
            slots[new] = np.concatenate([again, fresh])
            self._index(take(keys, new), slots[new], 1)
        return slots

    def _release(self, keys: Sequence[pa.Array], slots: I64, gone: Mask | None) -> None:
        """Forget groups, so that their slots are as new. gone: which of the keys; None: all."""
        if not len(slots):
            return
        self._index(keys if gone is None else take(keys, np.flatnonzero(gone)), slots, -1)
        self._changed[slots] = True
        for text in self._texts().values():
            text.release(slots)
        for call in self._calls if gone is None else ():
            if call.distinct is not None and call.distinct.by_slot:
                call.distinct.forget(slots)
        for array in self._arrays():
            array[slots] = 0
        self._free = np.concatenate([self._free, slots])

    def _index(self, keys: Sequence[pa.Array], slots: I64, weight: int) -> None:
        columns = [*keys, pa.array(slots)]
        rows = pa.Table.from_arrays(columns, schema=positional([c.type for c in columns]))
        self._slots.insert(ChangeBatch(rows, np.full(len(slots), weight, np.int64)))

    def _reserve(self, slots: int) -> None:
        """Have room for this many slots; all arrays have the same length."""
        capacity = max(_FIRST_CAPACITY, 1 << int(slots - 1).bit_length() if slots else 0)
        if capacity > len(self._changed):
            self._changed = np.concatenate([self._changed, np.zeros(capacity - len(self._changed), np.bool_)])
        flat = self._arrays()
        capacity = len(self._changed)
        if all(len(x) == capacity for x in flat):
            return
        longer = None if self._memory is None else self._memory.grown(flat, capacity)
        longer = [_grown(x, capacity) for x in flat] if longer is None else longer
        self._rows, *rest = longer
        for call in self._calls:
            width = len(call.accumulator.state)
            call.accumulator.state, rest = rest[:width], rest[width:]

    def _arrays(self) -> list[I64]:
        return [self._rows, *(x for c in self._calls for x in c.accumulator.state)]

    def _texts(self) -> dict[str, TextExtremum]:
        made = ((f"texts{i}", call.accumulator) for i, call in enumerate(self._calls))
        return {name: accumulator for name, accumulator in made if isinstance(accumulator, TextExtremum)}

    def _arrangements(self) -> dict[str, Arrangement]:
        found: dict[str, Arrangement] = {}
        for i, call in enumerate(self._calls):
            values = call.accumulator.values if isinstance(call.accumulator, Extremum | TextExtremum) else None
            if values is not None and all(a is not values for a in found.values()):
                found[f"values{i}"] = values
            if call.distinct is not None:
                found[f"distinct{i}"] = call.distinct.rows
        return found


def _lowest(accumulator: Accumulator) -> int:
    return accumulator.lowest if isinstance(accumulator, FloatTotal) else 0


def _grown(array: I64, capacity: int) -> I64:
    return np.concatenate([array, np.zeros(capacity - len(array), np.int64)])
