"""Functions over arrays of rows, as tables within a table: `nested_update` and `nested_partial_update`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.errors import DataError, NotSupportedError
from tsdb.mergetree.key_order import grouped_order, order_words
from tsdb.mergetree.merge_engine.elements import Elements, elements_of, struct_columns
from tsdb.mergetree.merge_engine.events import Events, take

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NestedUpdate:
    """All rows of the arrays; with a nested key, the newest of each key, or that with the largest `sequence`.

    A retraction removes rows equal to its own, or with their keys. count_max: rows, or keys, after the first so many of
    a table key are left out. null_keys: what becomes of rows with a NULL in the nested key: `merge`, `ignore`, `error`.
    """

    column: str
    key: tuple[str, ...] = ()
    sequence: tuple[str, ...] = ()
    count_max: int | None = None
    null_keys: str = "merge"
    name: str = "nested_update"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The array of each key; NULL for a key without any."""
        if events.retracts is None:
            events = events.in_effect()
        elements = _rows(elements_of(column, events), self.column, self.key, self.null_keys)
        if self.count_max is not None and elements.retracts is not None and elements.retracts.any():
            raise NotSupportedError(
                f"column `{self.column}`: '{self.name}' with 'count-limit' cannot take back rows; leave out the limit, "
                f"or set 'fields.{self.column}.ignore-retract' = 'true'"
            )
        if not len(elements.owners):
            return elements.as_lists(elements.owners, column.type)
        same = elements.by_value(struct_columns(elements.columns[0], self.key))
        places = self._newest(elements, same) if self.key else self._all(elements, same)
        return elements.as_lists(places, column.type)

    def _all(self, elements: Elements, same: Events) -> I64:
        kept = np.ones(len(same), np.bool_)
        if same.retracts is not None:
            kept = same.adds & (np.arange(len(same)) > same.last(same.retracts)[same.keys])
        places = np.sort(same.rows[kept])
        return places if self.count_max is None else places[_nth(elements.keys[places]) < self.count_max]

    def _newest(self, elements: Elements, same: Events) -> I64:
        adds = same.adds
        if self.sequence:
            columns = [pa.chunked_array([c]) for c in struct_columns(elements.columns[0], self.sequence)]
            order, starts = grouped_order(order_words([columns])[0])
            ranks = np.empty(len(order), np.int64)
            ranks[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            if same.retracts is not None:
                adds = adds & (np.arange(len(same)) > same.last(same.retracts)[same.keys])
            scores = np.where(adds, ranks[same.rows], -1)
            adds = adds & (scores == same.reduce(np.maximum, scores, -1)[same.keys])
        found = same.latest(adds, same.retracts)
        found = found[found >= 0]
        if self.count_max is not None:
            begins = np.sort(same.rows_at(same.first()))
            allowed = begins[_nth(elements.keys[begins]) < self.count_max]
            found = found[np.isin(same.rows_at(same.first())[same.keys[found]], allowed)]
        return same.rows_at(found)


@dataclass(frozen=True, slots=True)
class NestedPartialUpdate:
    """The rows of each nested key as one: of each field the last value that is not NULL."""

    column: str
    key: tuple[str, ...]
    null_keys: str = "merge"
    name: str = "nested_partial_update"
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The array of each key; NULL for a key without any."""
        elements = _rows(elements_of(column, events.in_effect()), self.column, self.key, self.null_keys)
        values = elements.columns[0]
        same = elements.by_value(struct_columns(values, self.key))
        same = same.kept(same.adds)
        fields = []
        for field in struct_columns(values):
            known = np.asarray(field.is_valid().to_numpy(zero_copy_only=False))[same.rows]
            fields.append(take(field, same.rows_at(same.last(known))))
        rows = pa.StructArray.from_arrays(fields, fields=list(values.type)) if same.key_count else values
        first = same.rows_at(same.first())
        order = np.argsort(first, kind="stable")
        united = Elements(elements.events, (rows.take(pa.array(order)),), elements.owners[first[order]], elements.known)
        return united.as_lists(np.arange(len(order)), column.type)


def _rows(elements: Elements, column: str, key: tuple[str, ...], null_keys: str) -> Elements:
    """The elements without NULL ones, and without those that have no place under `null_keys`."""
    elements = elements.kept(np.asarray(elements.columns[0].is_valid().to_numpy(zero_copy_only=False)))
    if null_keys == "merge" or not key:
        return elements
    complete = np.ones(len(elements.owners), np.bool_)
    for part in struct_columns(elements.columns[0], key):
        complete &= np.asarray(part.is_valid().to_numpy(zero_copy_only=False))
    if null_keys == "error" and not complete.all():
        raise DataError(
            f"column `{column}`: a row has NULL in its nested key ({', '.join(key)}); give it a value, or set "
            f"'fields.{column}.nested-key-null-strategy' = 'ignore'"
        )
    return elements.kept(complete)


def _nth(keys: I64) -> I64:
    """For sorted keys, the how-manieth of its key each is, from 0 on."""
    begins = np.concatenate(([True], keys[1:] != keys[:-1])) if len(keys) else np.empty(0, np.bool_)
    at = np.arange(len(keys))
    return at - np.maximum.accumulate(np.where(begins, at, 0))
