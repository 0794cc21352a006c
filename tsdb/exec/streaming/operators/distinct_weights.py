"""DISTINCT inside an aggregate."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.row_hash import I64, group_rows, hash_rows, take


class DistinctWeights:
    """Δw = [w + Δ > 0] - [w > 0] for each (group, value), put on one row of it; the other rows weigh nothing.

    State: how often each value occurs in each group.
    """

    def __init__(self, keys: pa.Schema, kind: pa.DataType) -> None:
        """keys: the group columns; kind: of the argument."""
        self._schema = positional([*keys.types, kind])
        self.rows = Arrangement(self._schema, range(len(self._schema)))

    def step(self, keys: Sequence[pa.Array], values: pa.Array, weights: I64) -> I64:
        """The weights with which the rows of a delta count."""
        columns = [*keys, values]
        groups = group_rows(columns, hash_rows(columns, len(weights)))
        distinct = take(columns, groups.first)
        hashes = hash_rows(distinct, groups.count)
        found = self.rows.lookup(distinct, hashes, [])
        before = np.zeros(groups.count, np.int64)
        np.add.at(before, found.probe, found.weights)
        change = groups.sum(weights)
        self.rows.insert(ChangeBatch(pa.Table.from_arrays(distinct, schema=self._schema), change))
        result = np.zeros(len(weights), np.int64)
        result[groups.first] = ((before + change > 0).astype(np.int64)) - (before > 0)
        return result
