"""`first-row`: the first row of a key survives, later ones are dropped; there are no retractions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.changes import RowKind
from tsdb.errors import NotSupportedError


@dataclass(frozen=True, slots=True)
class FirstRow:
    """Keeps the row that came first."""

    name: str = "first-row"

    def survivors(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first row of each key."""
        return starts

    def check(self, rows: pa.Table, kinds: npt.NDArray[np.int8]) -> None:
        """Raise NotSupportedError for retractions."""
        if ((kinds == RowKind.UPDATE_BEFORE) | (kinds == RowKind.DELETE)).any():
            raise NotSupportedError(
                "'merge-engine' = 'first-row' cannot take -U and -D rows, and there are some; set 'ignore-delete' = "
                "'true' to leave them out"
            )
