"""`deduplicate`: the last row of a key survives; if that is a retraction, the key is gone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Deduplicate:
    """The default merge engine: an upsert."""

    name: str = "deduplicate"

    def survivors(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The last row of each key."""
        return ends - 1

    def check(self, rows: pa.Table, kinds: npt.NDArray[np.int8]) -> None:
        """Every kind of row can be merged."""
