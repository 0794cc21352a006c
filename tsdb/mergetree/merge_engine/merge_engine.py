"""What a merge engine is: a rule that makes one row out of all rows of a key.

There are two kinds. One *selects* (`MergeEngine`): the merged row is one of the key's rows, unchanged, so a read needs
to compare keys only and then reads each file under a mask. The other *folds* (`FoldEngine`): the merged row is put
together from several, so a read has to bring the rows themselves side by side.

`merge_rows` merges runs with an engine of either kind, and `fold_rows` folds rows at hand: who needs merged rows (the
write buffer, compaction, reads, changelog producers) calls one of them and need not know more.
"""

from collections.abc import Iterable
from functools import cache
from typing import Protocol, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Positions = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.int8]


class MergeEngine(Protocol):
    """A merge engine that selects.

    Law: selecting from the whole is selecting from the selections of its parts, if the parts are consecutive in order.
    """

    @property
    def name(self) -> str:
        """The value of the option 'merge-engine'."""
        ...

    def survivors(self, starts: Positions, ends: Positions) -> Positions:
        """For the rows in order of (key, sequence), where key i holds the rows starts[i] to ends[i]-1: the row
        that survives for each key.
        """
        ...

    def check(self, rows: pa.Table, kinds: Kinds) -> None:
        """Raise NotSupportedError for rows that could never be merged, before they are written. kinds: of the rows."""
        ...


class FoldEngine(Protocol):
    """A merge engine that folds. Hashable, and equal to one made from the same schema and options.

    Law: a key with a single row keeps this row as it is, its kind included.
    """

    @property
    def name(self) -> str:
        """The value of the option 'merge-engine'."""
        ...

    def columns_for(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The columns that `fold` needs to make the wanted ones, themselves included; system columns left out."""
        ...

    def check(self, rows: pa.Table, kinds: Kinds) -> None:
        """Raise NotSupportedError for rows that could never be merged, before they are written. kinds: of the rows."""
        ...

    def fold(self, rows: pa.Table, order: Positions, starts: Positions) -> pa.Table:
        """The merged rows, in the order of keys, with the columns of `rows`.

        rows: `_VALUE_KIND`, maybe `_SEQUENCE_NUMBER`, and columns that are complete as of `columns_for`.
        Key i has the rows order[starts[i]] to order[starts[i + 1] - 1], the oldest first; starts[-1] == len(order).
        The merged row has the kind that the engine gives it, and the sequence number of the newest row.
        Raises NotSupportedError for retractions that the engine or a column's function cannot take.
        """
        ...


def is_fold(engine: MergeEngine | FoldEngine) -> TypeGuard[FoldEngine]:
    """Whether the engine folds. This is asked for every few rows, where `isinstance` of a protocol takes long."""
    return _is_fold(type(engine))


@cache
def _is_fold(kind: type) -> bool:
    return hasattr(kind, "fold")
