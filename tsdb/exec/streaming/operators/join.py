"""Joins of every type."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, plus
from tsdb.exec.streaming.arrangement import Arrangement, Matches
from tsdb.exec.streaming.expression import Evaluator, positional
from tsdb.exec.streaming.graph import RunStore, StateSize, Stream
from tsdb.exec.streaming.state_ttl import (
    dropped,
    keys_due,
    last_writes,
    ttl_text,
    without_unknown,
    writes_found,
    writes_kept,
)
from tsdb.row_hash import I64, U64, Mask, arrays, group_rows, hash_rows, take

_PAIRS_MAX = 1 << 21


@dataclass(frozen=True, slots=True)
class JoinKind:
    """What a join type emits. pairs: matching pairs; left, right: the rows of that side by whether they match.

    For a side: 'none', 'unmatched' (padded with NULLs if there are pairs, else as they are), 'matched', or 'mark'
    (all, with a flag).
    """

    pairs: bool
    left: str = "none"
    right: str = "none"


JOIN_KINDS = {
    "Inner": JoinKind(pairs=True),
    "Left": JoinKind(pairs=True, left="unmatched"),
    "Right": JoinKind(pairs=True, right="unmatched"),
    "Full": JoinKind(pairs=True, left="unmatched", right="unmatched"),
    "LeftSemi": JoinKind(pairs=False, left="matched"),
    "LeftAnti": JoinKind(pairs=False, left="unmatched"),
    "LeftMark": JoinKind(pairs=False, left="mark"),
    "RightSemi": JoinKind(pairs=False, right="matched"),
    "RightAnti": JoinKind(pairs=False, right="unmatched"),
    "RightMark": JoinKind(pairs=False, right="mark"),
}


class Side:
    """One input of a join, arranged by its key; NULL keys are not kept where they never match."""

    def __init__(self, stream: Stream, key: Sequence[int], *, nulls_match: bool) -> None:
        """key: positions of the key columns."""
        self.schema = stream.schema
        self.key = tuple(key)
        self.nulls_match = nulls_match
        self.rows = Arrangement(stream.schema, key)

    def keyed(self, delta: ChangeBatch) -> "Keyed":
        """The rows of a delta that can match, with their keys, in the order of their hashes."""
        keys = arrays(delta.rows, self.key)
        at = np.arange(delta.num_rows)
        if not self.nulls_match and any(k.null_count for k in keys):
            known = np.ones(delta.num_rows, np.bool_)
            for key in keys:
                known &= np.asarray(key.is_valid().to_numpy(zero_copy_only=False))
            at = np.flatnonzero(known)
            keys = take(keys, at)
        hashes = hash_rows(keys, len(at))
        order = np.argsort(hashes)
        return Keyed(delta, at[order], take(keys, order), hashes[order])

    def known(self, keyed: "Keyed") -> "Keyed":
        """Without retractions of rows that were dropped; rows that never match are not kept, so they all stay."""
        matching = keyed.matching()
        kept = without_unknown(matching, self.rows, *keyed.distinct()[:2])
        if kept is matching:
            return keyed
        never = np.ones(keyed.delta.num_rows, np.bool_)
        never[keyed.at] = False
        rest = ChangeBatch(keyed.delta.rows.filter(pa.array(never)), keyed.delta.weights[never])
        return self.keyed(plus([kept, rest], self.schema))


@dataclass(frozen=True, slots=True)
class Keyed:
    """A delta and its rows that can match: at[i] is the position of the row with keys[…][i] and hashes[i].

    hashes: ascending, because neighbours are found near each other in the other side, which is many times faster.
    """

    delta: ChangeBatch
    at: I64
    keys: list[pa.Array]
    hashes: U64

    def matching(self) -> ChangeBatch:
        """Only the rows that can match, in the order of `at`."""
        return ChangeBatch(self.delta.rows.take(pa.array(self.at)), self.delta.weights[self.at])

    def distinct(self) -> tuple[list[pa.Array], U64, I64]:
        """The distinct keys, ascending by hash, and the sum of the weights of each."""
        groups = group_rows(self.keys, self.hashes)
        weights = groups.sum(self.delta.weights[self.at])
        return take(self.keys, groups.first), self.hashes[groups.first], weights


class Join:
    """Δ(a ⋈ b) = a ⋈ Δb + Δa ⋈ (b + Δb); and per side whose unmatched, matched or marked rows count:

    Δ(rows of a that match) = Δa·m(b + Δb) + a·(m(b + Δb) - m(b)), where m says whether a row has a match, and only
    the rows of a under keys of Δb can differ in it. State: both sides by key. Only rows whose keys are touched are
    looked at.
    """

    def __init__(
        self, kind: JoinKind, left: Side, right: Side, residual: Evaluator | None, schema: pa.Schema, text: str
    ) -> None:
        """residual: the condition beyond the equal keys, over the columns of both sides."""
        self._kind = kind
        self._left, self._right = left, right
        self._residual = residual
        self._schema = schema
        self._text = text
        self._writes = last_writes()

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The change of the joined rows."""
        delta_left, delta_right = self._left.keyed(deltas[0]), self._right.keyed(deltas[1])
        if self._writes is not None:
            delta_left, delta_right = self._left.known(delta_left), self._right.known(delta_right)
            self._writes.touch(np.concatenate([delta_left.hashes, delta_right.hashes]))
        came_left, came_right = delta_left.matching(), delta_right.matching()
        kind, parts = self._kind, []
        left_touched = self._touched(self._left, delta_right, self._right) if kind.left != "none" else None
        right_touched = self._touched(self._right, delta_left, self._left) if kind.right != "none" else None
        if kind.pairs:
            parts += self._pairs(delta_right, came_right, self._left, flipped=True)
        self._right.rows.insert(came_right, delta_right.hashes)
        if kind.pairs:
            parts += self._pairs(delta_left, came_left, self._right, flipped=False)
        self._left.rows.insert(came_left, delta_left.hashes)
        if left_touched is not None:
            parts += self._one_side(
                kind.left, self._left, delta_left, left_touched, self._right, delta_right, flipped=False
            )
        if right_touched is not None:
            parts += self._one_side(
                kind.right, self._right, delta_right, right_touched, self._left, delta_left, flipped=True
            )
        return plus(parts, self._schema)

    def expire(self) -> None:
        """Drop the rows of both sides under keys that neither side has touched for the time to live."""
        due = keys_due(self._writes)
        if len(due):
            dropped(self._left.rows, due)
            dropped(self._right.rows, due)

    def describe(self) -> str:
        """Type, keys and condition."""
        keys = f"left_key={list(self._left.key)} right_key={list(self._right.key)}"
        return f"{self._text} {keys}{ttl_text(self._writes)}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """Both sides."""
        sides = {"left": self._left.rows.checkpoint(store), "right": self._right.rows.checkpoint(store)}
        return {**sides, **writes_kept(self._writes, store)}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Both sides."""
        self._left.rows.restore(manifest["left"], store)
        self._right.rows.restore(manifest["right"], store)
        writes_found(self._writes, manifest, store)

    def state_size(self) -> StateSize:
        """Both sides together."""
        sizes = [self._left.rows.state_size(), self._right.rows.state_size()]
        return StateSize(sum(s.rows for s in sizes), sum(s.size_bytes for s in sizes))

    def _matches(self, probes: Keyed, matching: ChangeBatch, other: Arrangement, *, flipped: bool) -> list[Matches]:
        """For each row that can match the rows of the other side for which the whole condition holds, in parts."""
        found = []
        for begin, end in _slices(probes.hashes, other):
            part = other.lookup([k.slice(begin, end - begin) for k in probes.keys], probes.hashes[begin:end])
            probe = part.probe + begin
            if self._residual is not None and len(probe):
                own, its = matching.rows.take(pa.array(probe)), part.rows
                joined = _side_by_side(its, own) if flipped else _side_by_side(own, its)
                (holds,) = self._residual.columns(joined)
                kept = np.flatnonzero(holds.fill_null(False).to_numpy(zero_copy_only=False))
                part = Matches(probe[kept], part.rows.take(pa.array(kept)), part.weights[kept])
                probe = part.probe
            found.append(Matches(probe, part.rows, part.weights))
        return found

    def _pairs(self, delta: Keyed, matching: ChangeBatch, other: Side, *, flipped: bool) -> list[ChangeBatch]:
        """The pairs of a delta with the other side. flipped: the delta belongs to the right side."""
        parts = []
        for match in self._matches(delta, matching, other.rows, flipped=flipped):
            if not len(match.probe):
                continue
            rows = matching.rows.take(pa.array(match.probe))
            joined = _side_by_side(match.rows, rows) if flipped else _side_by_side(rows, match.rows)
            weights = matching.weights[match.probe] * match.weights
            parts.append(ChangeBatch(joined.rename_columns(self._schema.names), weights))
        return parts

    def _one_side(
        self,
        what: str,
        own: Side,
        delta: Keyed,
        touched: ChangeBatch,
        other: Side,
        other_delta: Keyed,
        *,
        flipped: bool,
    ) -> list[ChangeBatch]:
        """The change of one side's rows by whether they match. touched: its old rows whose matches may differ now."""
        came = self._count(delta, other.rows, flipped=flipped)
        old = own.keyed(touched)
        now = self._count(old, other.rows, flipped=flipped)
        difference = Arrangement(other.schema, other.key)
        difference.insert(other_delta.matching(), other_delta.hashes)
        before = now - self._count(old, difference, flipped=flipped)
        parts = [
            self._emit(what, delta.delta, came > 0, flipped=flipped),
            self._emit(what, touched, now > 0, flipped=flipped),
            self._emit(what, ChangeBatch(touched.rows, -touched.weights), before > 0, flipped=flipped),
        ]
        return [p for p in parts if p.num_rows]

    def _count(self, probes: Keyed, other: Arrangement, *, flipped: bool) -> I64:
        """How many rows of the other side match each row of the delta."""
        counts = np.zeros(probes.delta.num_rows, np.int64)
        if self._residual is None:
            groups = group_rows(probes.keys, probes.hashes)
            counts[probes.at] = other.weigh(take(probes.keys, groups.first), probes.hashes[groups.first])[groups.ids()]
            return counts
        for match in self._matches(probes, probes.matching(), other, flipped=flipped):
            np.add.at(counts, probes.at[match.probe], match.weights)
        return counts

    def _touched(self, side: Side, change: Keyed, other: Side) -> ChangeBatch:
        """The rows of a side that may match now and did not, or the other way round, by a change of the other side."""
        keys, hashes, weights = change.distinct()
        if self._residual is None:
            before = other.rows.weigh(keys, hashes)
            turned = np.flatnonzero((before > 0) != (before + weights > 0))
            keys, hashes = take(keys, turned), hashes[turned]
        found = side.rows.lookup(keys, hashes)
        return ChangeBatch(found.rows, found.weights)

    def _emit(self, what: str, rows: ChangeBatch, matched: Mask, *, flipped: bool) -> ChangeBatch:
        if what == "mark":
            marked = rows.rows.append_column("mark", pa.array(matched))
            return ChangeBatch(marked.rename_columns(self._schema.names), rows.weights)
        kept = matched if what == "matched" else ~matched
        some = ChangeBatch(rows.rows.filter(pa.array(kept)), rows.weights[kept])
        if not self._kind.pairs:
            return ChangeBatch(some.rows.rename_columns(self._schema.names), some.weights)
        other = self._left.schema if flipped else self._right.schema
        padding = pa.Table.from_arrays([pa.nulls(some.num_rows, t) for t in other.types], schema=other)
        joined = _side_by_side(padding, some.rows) if flipped else _side_by_side(some.rows, padding)
        return ChangeBatch(joined.rename_columns(self._schema.names), some.weights)


def _slices(hashes: U64, other: Arrangement) -> list[tuple[int, int]]:
    """Cut the probes so that a part finds no more than some two million rows (or is a single probe)."""
    rows = len(hashes)
    if rows * other.fan_out_max <= _PAIRS_MAX:
        return [(0, rows)]
    part = np.cumsum(other.fan_out(hashes)) // _PAIRS_MAX
    cuts = [0, *(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist(), rows]
    return list(itertools.pairwise(cuts))


def _side_by_side(left: pa.Table, right: pa.Table) -> pa.Table:
    columns = [*left.columns, *right.columns]
    return pa.Table.from_arrays(columns, schema=positional([c.type for c in columns]))
