"""The elements of all arrays or maps that happen to a column, side by side, and arrays and maps of some of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.merge_engine.events import Events
from tsdb.row_hash import group_rows, hash_rows

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Elements:
    """Every element of every event. columns: the elements, or keys and values of a map; owners: the event of each;
    known: which events are not NULL.
    """

    events: Events
    columns: tuple[pa.Array, ...]
    owners: I64
    known: Mask

    @cached_property
    def keys(self) -> I64:
        """The key of the table that each element belongs to."""
        return self.events.keys[self.owners]

    @cached_property
    def retracts(self) -> Mask | None:
        """Which elements are taken back."""
        return None if self.events.retracts is None else self.events.retracts[self.owners]

    @cached_property
    def missing(self) -> Mask:
        """For each key, whether nothing was ever added, so that its value is NULL."""
        return ~self.events.any(self.events.adds & self.known)

    def kept(self, mask: Mask) -> "Elements":
        """Only the elements for which the mask is true."""
        if mask.all():
            return self
        chosen = pa.array(mask)
        return replace(self, columns=tuple(c.filter(chosen) for c in self.columns), owners=self.owners[mask])

    def by_value(self, values: list[pa.Array]) -> Events:
        """The elements with equal values of the same key, together as if they were the events of one key."""
        grouped = [pa.array(self.keys), *values]
        ids = group_rows(grouped, hash_rows(grouped, len(self.owners))).ids()
        starts = np.concatenate(([0], np.cumsum(np.bincount(ids)))) if len(ids) else np.zeros(1, np.int64)
        order = np.argsort(ids, kind="stable")
        late = self.events.late
        return Events(
            order,
            starts,
            None if self.retracts is None else self.retracts[order],
            None if late is None else late[self.owners][order],
        )

    def chosen(self, places: I64) -> tuple[list[pa.Array], pa.Array]:
        """The elements at these places, ascending, and where those of each key of the table begin."""
        counts = np.bincount(self.keys[places], minlength=self.events.key_count)
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        at = pa.array(places)
        return [column.take(at) for column in self.columns], pa.array(offsets)

    def as_lists(self, places: I64, kind: pa.DataType) -> pa.Array:
        """Arrays of the elements at these places."""
        (values,), offsets = self.chosen(np.sort(places))
        return pa.ListArray.from_arrays(offsets, values, type=kind, mask=pa.array(self.missing))

    def as_maps(self, places: I64, kind: pa.DataType) -> pa.Array:
        """Maps of the elements at these places."""
        (keys, values), offsets = self.chosen(np.sort(places))
        return pa.MapArray.from_arrays(offsets, keys, values, type=kind, mask=pa.array(self.missing))


def elements_of(column: pa.Array, events: Events) -> Elements:
    """The elements of an array or map column."""
    values = column.take(pa.array(events.rows))
    known = np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
    offsets = values.offsets.to_numpy()
    lengths = np.where(known, np.diff(offsets), 0)
    owners = np.repeat(np.arange(len(events)), lengths)
    # the places of the elements in the child arrays, also where a NULL hides some
    starts = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    places = pa.array(np.arange(len(owners)) + np.repeat(offsets[:-1] - starts, lengths))
    parts = (values.keys, values.items) if pa.types.is_map(column.type) else (values.values,)
    return Elements(events, tuple(part.take(places) for part in parts), owners, known)


def struct_columns(values: pa.StructArray, names: tuple[str, ...] = ()) -> list[pa.Array]:
    """The named fields of rows (all if there are none), NULL where the row is."""
    fields = values.flatten()
    if not names:
        return list(fields)
    return [fields[values.type.get_field_index(name)] for name in names]
