"""Functions over sketches and bitmaps: `hll_sketch`, `theta_sketch` (DataSketches), Roaring `rbm32`, `rbm64`.

The libraries read and join one value at a time, so this is the one place where the values of a column are looped over;
only keys that have more than one value cost anything. They come with the extra `sketches`.

Source: Paimon, `FieldHllSketchAgg`, `FieldThetaSketchAgg`, `FieldRoaringBitmap32Agg`,
`FieldRoaringBitmap64Agg`.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.errors import DataError, NotSupportedError
from tsdb.mergetree.merge_engine.events import Events, valid
from tsdb.metadata.roaring_tree import portable_to_tree, tree_to_portable

Join = Callable[[Any, Sequence[bytes]], bytes]


def _join_hll(library: Any, values: Sequence[bytes]) -> bytes:
    sketches = [library.hll_sketch.deserialize(value) for value in values]
    union = library.hll_union(max(sketch.lg_config_k for sketch in sketches))
    for sketch in sketches:
        union.update(sketch)
    return bytes(union.get_result(library.tgt_hll_type.HLL_4).serialize_compact())


def _join_theta(library: Any, values: Sequence[bytes]) -> bytes:
    union = library.theta_union()
    for value in values:
        union.update(library.compact_theta_sketch.deserialize(value))
    return bytes(union.get_result().serialize())


def _join_bitmaps(library: Any, values: Sequence[bytes]) -> bytes:
    joined = library.BitMap.union(*(library.BitMap.deserialize(value) for value in values))
    joined.run_optimize()
    return bytes(joined.serialize())


def _join_trees(library: Any, values: Sequence[bytes]) -> bytes:
    joined = library.BitMap64.union(*(library.BitMap64.deserialize(tree_to_portable(value)) for value in values))
    joined.run_optimize()
    return portable_to_tree(bytes(joined.serialize()))


_JOINS: Mapping[str, tuple[str, Join]] = {
    "hll_sketch": ("datasketches", _join_hll),
    "theta_sketch": ("datasketches", _join_theta),
    "rbm32": ("pyroaring", _join_bitmaps),
    "rbm64": ("pyroaring", _join_trees),
}


@dataclass(frozen=True, slots=True)
class Union:
    """All values of a key joined; the same in any order, so that late rows are no different."""

    name: str
    column: str
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The joined value of each key; NULL for a key without one. Raises DataError for other bytes."""
        known = valid(column, events.rows)
        some = events if known is None else events.kept(known)
        first = np.full(events.key_count, -1, np.int64)
        has_one = some.counts > 0
        first[has_one] = some.rows[some.starts[:-1][has_one]]
        values = column.take(pa.array(first, mask=~has_one)).to_pylist()
        for key in np.flatnonzero(some.counts > 1).tolist():
            rows = some.rows[some.starts[key] : some.starts[key + 1]]
            values[key] = self._joined(column.take(pa.array(rows)).to_pylist())
        return pa.array(values, column.type)

    def _joined(self, values: Sequence[bytes]) -> bytes:
        module, join = _JOINS[self.name]
        library = importlib.import_module(module)
        try:
            return join(library, values)
        except Exception as err:  # the libraries raise what they like
            raise DataError(f"column `{self.column}`: a value is no {self.name} that can be joined: {err}") from err


def union_of(name: str, column: str) -> Union:
    """The function of that name. Raises NotSupportedError if its library is not installed."""
    module = _JOINS[name][0]
    try:
        importlib.import_module(module)
    except ImportError as err:
        raise NotSupportedError(
            f"'fields.{column}.aggregate-function' = '{name}' needs the package `{module}`: "
            "pip install 'tsdb[sketches]'"
        ) from err
    return Union(name, column)
