"""Keys whose last row came before its commit: `'log.consistency' = 'eventual'`.

A row that its snapshot confirms is done. A key that waits too long is to be looked up in the table: its writer may have
been killed between the topic and the commit. If that writer is only slow, its commit tells the row once more.
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.row_hash import U64, arrays, hash_rows


@dataclass(slots=True)
class _Waiting:
    since_s: float
    keys: pa.Table
    hashes: U64


class Unconfirmed:
    """See the module."""

    def __init__(self, key: list[str]) -> None:
        """key: names of the columns."""
        self._key = key
        self._waiting: list[_Waiting] = []

    def add(self, rows: pa.Table, now_s: float) -> None:
        """Rows came early."""
        keys = rows.select(self._key)
        self._waiting.append(_Waiting(now_s, keys, _hashes(keys)))

    def confirm(self, rows: pa.Table) -> None:
        """Rows came that are committed."""
        if not self._waiting:
            return
        confirmed = _hashes(rows.select(self._key))
        for waiting in self._waiting:
            left = ~np.isin(waiting.hashes, confirmed)
            if not left.all():
                waiting.keys, waiting.hashes = waiting.keys.filter(pa.array(left)), waiting.hashes[left]
        self._waiting = [waiting for waiting in self._waiting if len(waiting.hashes)]

    def overdue(self, before_s: float) -> pa.Table | None:
        """The keys, each once, that wait since then or longer; they wait no more."""
        late = [waiting.keys for waiting in self._waiting if waiting.since_s <= before_s]
        if not late:
            return None
        self._waiting = [waiting for waiting in self._waiting if waiting.since_s > before_s]
        return pa.concat_tables(late).group_by(self._key).aggregate([])

    def to_json(self) -> str | None:
        """All keys that wait, for a checkpoint; None: there are none."""
        if not self._waiting:
            return None
        keys = pa.concat_tables([waiting.keys for waiting in self._waiting])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, keys.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
            out.write_table(keys)
        return base64.b64encode(sink.getvalue()).decode()

    def restore(self, text: Any) -> None:
        """The inverse; the keys have waited long enough."""
        self._waiting = []
        if text is not None:
            with pa.ipc.open_stream(base64.b64decode(text)) as stream:
                self.add(stream.read_all(), -np.inf)


def _hashes(keys: pa.Table) -> U64:
    return hash_rows(arrays(keys), keys.num_rows)
