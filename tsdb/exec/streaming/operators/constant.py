"""Constants: Values, EmptyRelation, and any part of a plan that reads no input."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, inserts
from tsdb.exec.streaming.graph import RunStore, StateSize


class Constant:
    """Δout = the rows at the first step, nothing later: the derivative of a constant."""

    def __init__(self, rows: pa.Table) -> None:
        """rows: the constant relation."""
        self._rows = rows
        self._emitted = False

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows, once."""
        if self._emitted:
            return ChangeBatch(self._rows.slice(0, 0), np.empty(0, np.int64))
        self._emitted = True
        return inserts(self._rows)

    def describe(self) -> str:
        """How many rows."""
        return f"Constant rows={self._rows.num_rows}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """Whether the rows went out."""
        return {"emitted": self._emitted}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Whether the rows went out."""
        self._emitted = bool(manifest["emitted"])

    def state_size(self) -> StateSize:
        """Nothing is remembered."""
        return StateSize(0, 0)
