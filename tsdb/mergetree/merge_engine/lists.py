"""Functions that put values together: `listagg` of texts, `collect` of arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.mergetree.merge_engine.elements import Elements, elements_of
from tsdb.mergetree.merge_engine.events import Events, take

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ListAgg:
    """The texts one after the other with a delimiter between; NULL and blank ones are passed over.

    distinct: of texts after the first only the parts, as the delimiter cuts them, that are not there yet.
    """

    delimiter: str = ","
    distinct: bool = False
    name: str = "listagg"
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The text of each key; NULL for a key that has none."""
        blank = pc.equal(pc.utf8_trim_whitespace(column), "").fill_null(True).to_numpy(zero_copy_only=False)
        in_effect = events.in_effect()
        some = in_effect.kept(~np.asarray(blank)[in_effect.rows])
        texts, starts = column.take(pa.array(some.rows)), some.starts
        if self.distinct:
            texts, starts = self._new_parts(texts, some)
        lists = pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), texts)
        without = np.full(events.key_count, -1, np.int64)
        for mask in (events.late, events.seeds):  # these come in place of nothing, blank as they are
            without = without if mask is None else np.maximum(without, events.last(mask))
        return pc.if_else(
            pa.array(some.counts == 0),
            take(column, events.rows_at(without)),
            pc.binary_join(lists, self.delimiter),
        )

    def _new_parts(self, texts: pa.Array, events: Events) -> tuple[pa.Array, I64]:
        """All parts of the first text of each key, and those of the others that come for the first time."""
        split = pc.split_pattern(texts, self.delimiter)
        owners = np.repeat(np.arange(len(texts)), split.value_lengths().to_numpy())
        is_first = np.zeros(len(texts), np.bool_)
        is_first[events.starts[:-1][events.counts > 0]] = True
        parts = Elements(events, (split.flatten(),), owners, np.ones(len(texts), np.bool_))
        blank = np.asarray(pc.equal(pc.utf8_trim_whitespace(parts.columns[0]), "").to_numpy(zero_copy_only=False))
        by_value = parts.by_value(list(parts.columns))
        kept = np.zeros(len(owners), np.bool_)
        kept[by_value.rows_at(by_value.first())] = True
        kept = (kept & ~blank) | is_first[owners]
        (values,), offsets = parts.chosen(np.flatnonzero(kept))
        return values, offsets.to_numpy()


@dataclass(frozen=True, slots=True)
class Collect:
    """The elements of all arrays; distinct: each once. A retraction takes back one of each of its elements."""

    distinct: bool = False
    name: str = "collect"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The array of each key; NULL for a key without any."""
        elements = elements_of(column, events)
        if self.distinct:
            return elements.as_lists(self._present(elements), column.type)
        places = np.arange(len(elements.owners)) if elements.retracts is None else self._left(elements)
        return elements.as_lists(places, column.type)

    def _present(self, elements: Elements) -> I64:
        """Of equal elements the first since they were taken back the last time."""
        same = elements.by_value(list(elements.columns))
        if same.retracts is None:
            return same.rows_at(same.first())
        since = same.adds & (np.arange(len(same)) > same.last(same.retracts)[same.keys])
        found = same.first(since)
        return same.rows_at(found[found >= 0])

    def _left(self, elements: Elements) -> I64:
        """Of equal elements the last ones, as many as are left when each retraction takes one, if there is one."""
        same = elements.by_value(list(elements.columns))
        adds = same.adds
        steps = np.where(adds, 1, -1)
        total = np.cumsum(steps)
        within = total - (total[same.starts[:-1]] - steps[same.starts[:-1]])[same.keys]
        lowest = same.reduce(np.minimum, within, 0)
        left = within[same.starts[1:] - 1] - np.minimum(lowest, 0) if len(same) else lowest
        added = np.cumsum(adds)
        of_key = added[same.starts[1:] - 1] if len(same) else lowest
        # how many of its kind come after each element
        after = of_key[same.keys] - added
        return same.rows[adds & (after < left[same.keys])]
