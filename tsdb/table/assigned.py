"""What an assigner makes of rows: the rows to write, their kinds, and where each belongs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.table.bucket import Placement

Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Assigned:
    """kinds: a `RowKind` a row; None: all +I."""

    rows: pa.Table
    kinds: Kinds | None
    placement: Placement
