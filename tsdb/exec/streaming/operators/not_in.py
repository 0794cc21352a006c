"""NOT IN: the anti join in which a NULL on the right side makes every answer unknown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, negate, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.operators.join import Join, Side
from tsdb.row_hash import Mask, arrays


class NotIn:
    """Δout = view(state + Δ) - view(state), with view = a if b is empty, nothing if b has a NULL, else (a where key
    is not null) ▷ b.

    State: a, and the anti join with its sides. As long as the view stays the same one, its own change is emitted;
    when b becomes empty or gets its first NULL (or the other way round), one view is taken back as a whole and the
    other emitted.
    """

    def __init__(self, anti: Join, left: Side, right: Side) -> None:
        """anti: the anti join of the same two sides, on one key column."""
        self._anti = anti
        self._key = left.key[0], right.key[0]
        self._schema = left.schema
        self._all = Arrangement(left.schema, left.key)
        self._unmatched = Arrangement(left.schema, left.key)
        self._right_rows = 0
        self._right_nulls = 0

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The change of the view."""
        left, right = deltas
        before, old = self._view, ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        nulls = _nulls(right, self._key[1])
        rows = self._right_rows + int(right.weights.sum())
        unknown = self._right_nulls + int(right.weights[nulls].sum())
        after = _view(rows, unknown)
        if after != before:
            old = self._contents(before)
        self._right_rows, self._right_nulls = rows, unknown
        known = ~_nulls(left, self._key[0])
        unmatched = self._anti.step([ChangeBatch(left.rows.filter(pa.array(known)), left.weights[known]), right])
        self._all.insert(left)
        self._unmatched.insert(unmatched)
        if after != before:
            return consolidate(plus([negate(old), self._contents(after)], self._schema))
        return {"all": left, "none": old, "unmatched": unmatched}[after]

    def describe(self) -> str:
        """The keys."""
        return f"NotIn {self._anti.describe()}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The anti join, its result and the left side."""
        return {
            "anti": self._anti.checkpoint(store),
            "all": self._all.checkpoint(store),
            "unmatched": self._unmatched.checkpoint(store),
            "right": [self._right_rows, self._right_nulls],
        }

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The anti join, its result and the left side."""
        self._anti.restore(manifest["anti"], store)
        self._all.restore(manifest["all"], store)
        self._unmatched.restore(manifest["unmatched"], store)
        self._right_rows, self._right_nulls = manifest["right"]

    def state_size(self) -> StateSize:
        """Everything together."""
        sizes = [self._anti.state_size(), self._all.state_size(), self._unmatched.state_size()]
        return StateSize(sum(s.rows for s in sizes), sum(s.size_bytes for s in sizes))

    @property
    def _view(self) -> str:
        return _view(self._right_rows, self._right_nulls)

    def _contents(self, view: str) -> ChangeBatch:
        if view == "none":
            return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        return (self._all if view == "all" else self._unmatched).everything()


def _view(right_rows: int, right_nulls: int) -> str:
    if right_rows <= 0:
        return "all"
    return "none" if right_nulls > 0 else "unmatched"


def _nulls(delta: ChangeBatch, column: int) -> Mask:
    return np.asarray(arrays(delta.rows, [column])[0].is_null().to_numpy(zero_copy_only=False))
