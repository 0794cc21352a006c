"""Changes to `debezium-json`: a row that comes is `c` with `after`, one that leaves is `d` with `before`."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde.json_writer import json_objects, lines_of


class DebeziumEncoder:
    """An update is a `d` and a `c`, as Flink writes it."""

    mode: ChangelogMode = "all"

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines; a row of weight n is written n times."""
        times = np.abs(changes.weights)
        index = np.repeat(np.arange(changes.num_rows), times)
        rows, comes = changes.rows.take(pa.array(index)), pa.array((changes.weights > 0)[index])
        objects = json_objects(rows)
        head = pc.if_else(comes, _text('{"before":null,"after":'), _text('{"before":'))
        tail = pc.if_else(comes, _text(',"op":"c"}'), _text(',"after":null,"op":"d"}'))
        return lines_of(pc.binary_join_element_wise(head, objects, tail, _text("")))


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())
