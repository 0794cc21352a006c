"""What the function of a column is: it makes one value out of the values that the rows of a key have."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.merge_engine.events import Events


class Aggregate(Protocol):
    """The function of one column. Hashable."""

    @property
    def name(self) -> str:
        """As in 'fields.<column>.aggregate-function'."""
        ...

    @property
    def retracts(self) -> bool:
        """Whether it can take retractions."""
        ...

    def fold(self, column: pa.Array, events: Events) -> npt.NDArray[np.int64] | pa.Array:
        """For each key its value, or the row of `column` that has it (-1: NULL), if it is the value of one of them."""
        ...
