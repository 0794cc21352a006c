"""`first-row`: the first row of a key survives, later ones are dropped; there are no retractions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class FirstRow:
    """Keeps the row that came first."""

    name: str = "first-row"

    def survivors(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first row of each key."""
        return starts
