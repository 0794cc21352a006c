"""A watch over a query whose result is not known to have one row a key, but goes into a table that has.

Law: at every checkpoint each primary key has at most one live row. Then the net change of a key between two checkpoints
is one row out, one row in, or both, and the table can follow it without knowing more. Without the watch a retraction of
one of two rows would delete the key although the other row still lives. State: the keys, not the rows.

Source: the place of Flink's SinkUpsertMaterializer, with ON CONFLICT ERROR.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, plus
from tsdb.errors import IntegrityError
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.pipeline import Dataflow
from tsdb.exec.streaming.watermark import InputTime
from tsdb.row_hash import arrays, hash_rows


class KeyGuard:
    """A dataflow that lets everything pass, and refuses a checkpoint at which a key has two rows."""

    def __init__(self, inner: Dataflow, key: Sequence[int], names: Sequence[str], table: str) -> None:
        """key: positions of the key in the output. names, table: what the key's columns and the target are called."""
        self._inner = inner
        self._key = list(key)
        self._names = list(names)
        self._table = table
        self.schema: pa.Schema = inner.schema
        self.upsert_key = inner.upsert_key
        self._key_schema = pa.schema([inner.schema.field(i) for i in key])
        self._keys = Arrangement(self._key_schema, range(len(self._key)))
        self._touched: list[ChangeBatch] = []

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> ChangeBatch:
        """The step of the dataflow; its keys are counted."""
        output = self._inner.step(deltas, times, complete=complete)
        if output.num_rows:
            keys = consolidate(ChangeBatch(output.rows.select(self._key), output.weights))
            self._keys.insert(keys)
            self._touched.append(keys)
        return output

    def overdue(self) -> bool:
        """Whether the clock alone has made something due."""
        return self._inner.overdue()

    def checkpoint(self, store: Any) -> dict[str, Any]:
        """The state, if no key has two rows. Raises IntegrityError naming one that has."""
        self._check()
        return {"inner": self._inner.checkpoint(store), "keys": self._keys.checkpoint(store)}

    def restore(self, manifest: dict[str, Any], store: Any) -> None:
        """Take the state of a checkpoint."""
        self._inner.restore(manifest["inner"], store)
        self._keys.restore(manifest["keys"], store)

    def metrics(self) -> dict[str, Any]:
        """Those of the dataflow, and how many keys are kept."""
        size = self._keys.state_size()
        return {**self._inner.metrics(), "sink_keys": size.rows, "sink_keys_bytes": size.size_bytes}

    def _check(self) -> None:
        touched, self._touched = consolidate(plus(self._touched, self._key_schema)), []
        more = touched.rows.filter(pa.array(touched.weights > 0))
        if more.num_rows == 0:
            return
        columns = arrays(more)
        matches = self._keys.lookup(columns, hash_rows(columns, more.num_rows))
        live = np.bincount(matches.probe, weights=matches.weights, minlength=more.num_rows)
        clash = np.flatnonzero(live > 1)
        if len(clash):
            first = int(clash[0])
            key = more.slice(first, 1)
            raise IntegrityError(conflict_message(self._table, self._names, key, int(live[first]), len(clash)))


def conflict_message(table: str, names: Sequence[str], key: pa.Table, rows: int, keys: int) -> str:
    """What two live rows for one key are called. key: a row of its values; keys: how many keys are concerned."""
    values = ", ".join(f"{name} = {column[0].as_py()!r}" for name, column in zip(names, key.columns, strict=True))
    more = f" (and for {keys - 1} more)" if keys > 1 else ""
    return (
        f"the query gives {rows} rows at once for the primary key ({values}){more} of table `{table}`; "
        "let it give one row a key: GROUP BY the key, or ROW_NUMBER() OVER (PARTITION BY the key ORDER BY …) = 1"
    )
