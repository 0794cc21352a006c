"""Normalize: upserts become a complete changelog."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, empty, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.state_ttl import dropped, keys_due, last_writes, ttl_text, writes_found, writes_kept
from tsdb.row_hash import group_rows, hash_rows, take


class Normalize:
    """Δout = last(Δin) - I(out)[keys of Δin]: for each key its last row of the step, less the row that was there.

    State: the last row of each key. A deletion needs only the key; a repeat of the row that is there changes nothing.
    A row with a weight of 0 is what its key was before the stream began: known from then on, no change.
    """

    def __init__(self, schema: pa.Schema, key: Sequence[int]) -> None:
        """key: positions of the columns of the upsert key."""
        self._schema = schema
        self._key = tuple(key)
        self._state = Arrangement(schema, key)
        self._writes = last_writes()

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """What really changes."""
        (delta,) = deltas
        if not delta.num_rows:
            return delta
        keys = self._state.keys_of(delta.rows)
        if not delta.weights.any():
            if self._writes is not None:
                self._writes.touch(hash_rows(keys, delta.num_rows))
            self._state.insert(ChangeBatch(delta.rows, np.ones(delta.num_rows, np.int64)))
            return empty(self._schema)
        groups = group_rows(keys, hash_rows(keys, delta.num_rows))
        last = np.maximum.reduceat(groups.order, groups.starts)
        touched = take(keys, last)
        hashes = hash_rows(touched, len(last))
        if self._writes is not None:
            self._writes.touch(hashes)
        before = self._state.lookup(touched, hashes)
        stays = last[delta.weights[last] > 0]
        after = ChangeBatch(delta.rows.take(pa.array(stays)), np.ones(len(stays), np.int64))
        change = consolidate(plus([ChangeBatch(before.rows, -before.weights), after], self._schema))
        self._state.insert(change)
        return change

    def expire(self) -> None:
        """Drop the rows of keys that nothing has touched for the time to live."""
        due = keys_due(self._writes)
        if len(due):
            dropped(self._state, due)

    def describe(self) -> str:
        """The key."""
        return f"Normalize key={list(self._key)}{ttl_text(self._writes)}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The runs of the last rows."""
        return {"rows": self._state.checkpoint(store), **writes_kept(self._writes, store)}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Take the runs."""
        self._state.restore(manifest["rows"], store)
        writes_found(self._writes, manifest, store)

    def state_size(self) -> StateSize:
        """The last rows."""
        return self._state.state_size()
