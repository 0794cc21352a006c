"""What a merge engine is: a rule that makes one row out of all rows of a key."""

from typing import Protocol

import numpy as np
import numpy.typing as npt


class MergeEngine(Protocol):
    """A merge engine that *selects*: the merged row is one of the key's rows, unchanged.

    Law: selecting from the whole is selecting from the selections of its parts, if the parts are consecutive in order.
    """

    @property
    def name(self) -> str:
        """The value of the option 'merge-engine'."""
        ...

    def survivors(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For the rows in order of (key, sequence), where key i holds the rows starts[i] to ends[i]-1: the row
        that survives for each key.
        """
        ...
