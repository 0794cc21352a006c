"""DISTINCT inside an aggregate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.state_ttl import among
from tsdb.row_hash import I64, U64, RowGroups, arrays, group_rows, hash_rows, take


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a delta by group: equal (group, value) side by side, and one of each with its hash."""

    groups: RowGroups
    distinct: list[pa.Array]
    hashes: U64


def values_of(keys: Sequence[pa.Array], values: pa.Array) -> Values:
    """keys: of the group of each row."""
    columns = [*keys, values]
    groups = group_rows(columns, hash_rows(columns, len(values)))
    distinct = take(columns, groups.first)
    return Values(groups, distinct, hash_rows(distinct, groups.count))


class DistinctWeights:
    """Δw = [w + Δ > 0] - [w > 0] for each (group, value), put on one row of it; the other rows weigh nothing.

    State: how often each value occurs in each group.
    """

    def __init__(self, keys: pa.Schema, kind: pa.DataType, *, by_slot: bool, text: str) -> None:
        """keys: the group columns; kind: of the argument. by_slot: a group is told by its slot, which is shorter than
        its key. text: of the argument, so that aggregates of one argument group its values once.
        """
        groups = [pa.int64()] if by_slot else keys.types
        self._schema = positional([*groups, kind])
        self.by_slot = by_slot
        self.text = text
        self.rows = Arrangement(self._schema, range(len(self._schema)))

    def step(self, values: Values, weights: I64) -> I64:
        """The weights with which the rows of a delta count."""
        change = values.groups.sum(weights)
        some = np.flatnonzero(change)
        change = change[some]
        distinct = take(values.distinct, some)
        found = self.rows.lookup(distinct, values.hashes[some], [])
        before = np.zeros(len(some), np.int64)
        np.add.at(before, found.probe, found.weights)
        self.rows.insert(ChangeBatch(pa.Table.from_arrays(distinct, schema=self._schema), change))
        result = np.zeros(len(weights), np.int64)
        result[values.groups.first[some]] = ((before + change > 0).astype(np.int64)) - (before > 0)
        return result

    def drop(self, groups: U64) -> None:
        """Drop the values of groups, told by the hashes of their keys, ascending."""
        parts = []
        for part in self.rows.parts():
            hashes = hash_rows(arrays(part.rows, range(len(self._schema) - 1)), part.num_rows)
            gone = among(hashes, groups)
            parts.append(ChangeBatch(part.rows.filter(pa.array(gone)), -part.weights[gone]))
        self.rows.insert(plus(parts, self._schema))

    def forget(self, slots: I64) -> None:
        """Drop the values of groups, told by their slots."""
        everything = self.rows.everything()
        gone = np.isin(arrays(everything.rows, [0])[0].to_numpy(), slots)
        self.rows.insert(ChangeBatch(everything.rows.filter(pa.array(gone)), -everything.weights[gone]))
