"""Joins with a table as of the time of a row: FOR SYSTEM_TIME AS OF."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, negate, plus
from tsdb.exec.streaming.arrangement import Arrangement, Matches
from tsdb.exec.streaming.expression import Evaluator, positional
from tsdb.exec.streaming.graph import Cut, RunStore, StateSize
from tsdb.exec.streaming.operators.join import Side
from tsdb.exec.streaming.operators.project import refuse_going
from tsdb.exec.streaming.watermark import Bound, below
from tsdb.row_hash import I64, arrays, group_rows, hash_rows, take


class Probe:
    """What both joins share: the rows of the left side with what is found for each, padded if they are outer joins."""

    def __init__(self, left: Side, right: Side, residual: Evaluator | None, schema: pa.Schema, *, outer: bool) -> None:
        """residual: the condition beyond the equal keys, over the columns of both sides."""
        self.left, self.right = left, right
        self._residual = residual
        self.schema = schema
        self._outer = outer

    def joined(self, delta: ChangeBatch, match: Matches) -> ChangeBatch:
        """The pairs; match.probe: positions in the delta."""
        rows, weights = delta.rows.take(pa.array(match.probe)), delta.weights[match.probe] * match.weights
        pairs = pa.Table.from_arrays([*rows.columns, *match.rows.columns], schema=self.schema)
        found = match.probe
        if self._residual is not None and pairs.num_rows:
            (holds,) = self._residual.columns(pairs)
            kept = np.asarray(holds.fill_null(False).to_numpy(zero_copy_only=False))
            pairs, weights, found = pairs.filter(pa.array(kept)), weights[kept], found[kept]
        parts = [ChangeBatch(pairs, weights)]
        if self._outer:
            alone = np.ones(delta.num_rows, np.bool_)
            alone[found] = False
            rows = delta.rows.filter(pa.array(alone))
            nulls = [pa.nulls(rows.num_rows, t) for t in self.right.schema.types]
            padded = pa.Table.from_arrays([*rows.columns, *nulls], schema=self.schema)
            parts.append(ChangeBatch(padded, delta.weights[alone]))
        return plus(parts, self.schema)

    def matches(self, delta: ChangeBatch) -> Matches:
        """The rows of the right side under the key of each row of the delta."""
        keyed = self.left.keyed(delta)
        found = self.right.rows.lookup(keyed.keys, keyed.hashes)
        return Matches(keyed.at[found.probe], found.rows, found.weights)


class LookupJoin:
    """Δout = Δa ⋈ (b + Δb): each row of a meets b as it is at the version in which the row comes, and that stays so.

    State: b by key. Rows of a wait until the version is complete, so that b is that of one version.
    """

    def __init__(self, probe: Probe, cut: Cut, text: str) -> None:
        """cut: says when a version is complete."""
        self._probe = probe
        self._cut = cut
        self._text = text
        self._waiting: list[ChangeBatch] = []

    def due(self) -> bool:
        """Rows wait, and the version is complete."""
        return bool(self._waiting) and self._cut.complete

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows that come, joined."""
        if deltas[1].num_rows:
            self._probe.right.rows.insert(self._probe.right.keyed(deltas[1]).matching())
        if deltas[0].num_rows:
            refuse_going(deltas[0], "a lookup join")
            self._waiting.append(deltas[0])
        delta = plus(self._waiting if self._cut.complete else [], self._probe.left.schema)
        if self._cut.complete:
            self._waiting = []
        match = self._probe.matches(delta)
        rows = consolidate(ChangeBatch(_numbered(match), match.weights))
        width = len(self._probe.right.schema)
        numbers = np.asarray(rows.rows.column(width).to_numpy())
        return self._probe.joined(delta, Matches(numbers, rows.rows.select(range(width)), rows.weights))

    def describe(self) -> str:
        """The keys."""
        return f"LookupJoin {self._text}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The right side; at a version nothing waits."""
        return {"right": self._probe.right.rows.checkpoint(store)}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The right side."""
        self._probe.right.rows.restore(manifest["right"], store)

    def state_size(self) -> StateSize:
        """The right side."""
        return self._probe.right.rows.state_size()


class TemporalJoin:
    """Δout = the rows of a whose time t has come, each with the row of b under its key with the latest time up to t.

    State: the rows of a whose time has not come, and for each key the version of b that holds now, and later ones. A
    row of b that goes without another of its key is a version that never was, as in Flink; one that is replaced stays
    as what held until then.
    """

    def __init__(self, probe: Probe, times: tuple[int, int], bound: Bound, text: str) -> None:
        """times: of the time columns of both sides. bound: up to where both have come."""
        self._probe = probe
        self._left_time, self._right_time = times
        self._bound = bound
        self._text = text
        self._waiting = Arrangement(probe.left.schema, range(len(probe.left.schema)))
        self._rows_kept = 0
        self._schema = probe.schema

    def due(self) -> bool:
        """The time of rows that wait may have come."""
        return self._waiting.rows > 0 and self._bound.now != self._bound.before

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows whose time has come, joined."""
        if deltas[1].num_rows:
            self._take_versions(deltas[1])
        if deltas[0].num_rows:
            self._waiting.insert(deltas[0])
        if self._bound.now is None or not self._waiting.rows:
            return plus([], self._schema)
        waiting = self._waiting.everything()
        come = below(waiting.rows.column(self._left_time), self._bound.now)
        if not come.any():
            return plus([], self._schema)
        delta = ChangeBatch(waiting.rows.filter(pa.array(come)), waiting.weights[come])
        self._waiting.insert(negate(delta))
        return self._probe.joined(delta, self._version_of(delta))

    def describe(self) -> str:
        """The keys."""
        return f"TemporalJoin {self._text}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """Versions, and rows that wait."""
        return {"waiting": self._waiting.checkpoint(store), "right": self._probe.right.rows.checkpoint(store)}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Versions, and rows that wait."""
        self._waiting.restore(manifest["waiting"], store)
        self._probe.right.rows.restore(manifest["right"], store)

    def state_size(self) -> StateSize:
        """Versions, and rows that wait."""
        sizes = [self._waiting.state_size(), self._probe.right.rows.state_size()]
        return StateSize(sum(s.rows for s in sizes), sum(s.size_bytes for s in sizes))

    def _take_versions(self, delta: ChangeBatch) -> None:
        """Add new versions; a row that goes is forgotten only if none of its key comes."""
        delta = consolidate(self._probe.right.keyed(delta).matching())
        goes = delta.weights < 0
        if goes.any():
            keys = self._probe.right.rows.keys_of(delta.rows)
            groups = group_rows(keys, hash_rows(keys, delta.num_rows))
            replaced = groups.sum((delta.weights > 0).astype(np.int64))[groups.ids()] > 0
            kept = ~(goes & replaced)
            delta = ChangeBatch(delta.rows.filter(pa.array(kept)), delta.weights[kept])
        self._probe.right.rows.insert(delta)

    def _version_of(self, delta: ChangeBatch) -> Matches:
        """For each row the latest version up to its time."""
        found = self._probe.matches(delta)
        moment = delta.rows.column(self._left_time).take(pa.array(found.probe))
        left = _ns(moment)
        right = _ns(found.rows.column(self._right_time))
        fits = np.flatnonzero(right <= left)
        numbered = ChangeBatch(_numbered(found).take(pa.array(fits)), found.weights[fits])
        net = consolidate(numbered)
        live = net.weights > 0
        net = ChangeBatch(net.rows.filter(pa.array(live)), net.weights[live])
        width = len(self._probe.right.schema)
        probe = np.asarray(net.rows.column(width).to_numpy(), np.int64)
        order = np.lexsort((_ns(net.rows.column(self._right_time)), probe))
        last = np.append(probe[order][1:] != probe[order][:-1], np.ones(min(1, len(order)), np.bool_))
        chosen = order[last]
        rows = net.rows.select(range(width)).take(pa.array(chosen))
        return Matches(probe[chosen], rows, np.ones(len(chosen), np.int64))

    def forget(self, *_: object) -> None:
        """Drop versions that a later one has replaced before the time that has come."""
        right = self._probe.right
        bound = self._bound.now
        if bound is None or right.rows.rows < 2 * self._rows_kept + 1024:
            return
        everything = right.rows.everything()
        past = below(everything.rows.column(self._right_time), bound)
        columns = arrays(everything.rows, right.key)
        at = np.flatnonzero(past)
        if len(at):
            some = take(columns, at)
            ids = group_rows(some, hash_rows(some, len(at))).ids()
            moments = _ns(everything.rows.column(self._right_time).take(pa.array(at)))
            order = np.lexsort((moments, ids))
            last = np.append(ids[order][1:] != ids[order][:-1], True)
            gone = at[order[~last]]
            old = ChangeBatch(everything.rows.take(pa.array(gone)), everything.weights[gone])
            right.rows.insert(negate(old))
        self._rows_kept = right.rows.rows


def _numbered(match: Matches) -> pa.Table:
    """The rows found with the number of their probe behind."""
    columns = [*match.rows.columns, pa.chunked_array([pa.array(match.probe)])]
    return pa.Table.from_arrays(columns, schema=positional([c.type for c in columns]))


def _ns(column: pa.ChunkedArray) -> I64:
    """Times in nanoseconds; no time is earlier than all others."""
    whole = column.cast(pa.timestamp("ns", column.type.tz))
    return np.asarray(whole.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy(), np.int64)
