"""Changes to the messages of change logs: each row that comes and each row that leaves is one, as Flink writes them.

An update is the old row's deletion and the new row's insertion.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde.json_writer import json_objects, lines_of


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands before and behind the row: (of a row that comes, of a row that leaves)."""

    head: tuple[str, str]
    tail: tuple[str, str]


ENVELOPES: Mapping[str, Envelope] = {
    "debezium-json": Envelope(('{"before":null,"after":', '{"before":'), (',"op":"c"}', ',"after":null,"op":"d"}')),
    "canal-json": Envelope(('{"data":[', '{"data":['), ('],"type":"INSERT"}', '],"type":"DELETE"}')),
    "maxwell-json": Envelope(('{"data":', '{"data":'), (',"type":"insert"}', ',"type":"delete"}')),
    "ogg-json": Envelope(
        ('{"before":null,"after":', '{"before":'), (',"op_type":"I"}', ',"after":null,"op_type":"D"}')
    ),
}


class ChangeLogEncoder:
    """One message for each row that comes or leaves."""

    mode: ChangelogMode = "all"

    def __init__(self, name: str) -> None:
        """name: of the format."""
        self._envelope = ENVELOPES[name]

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines; a row of weight n is written n times."""
        times = np.abs(changes.weights)
        index = np.repeat(np.arange(changes.num_rows), times)
        rows, comes = changes.rows.take(pa.array(index)), pa.array((changes.weights > 0)[index])
        head, tail = ((_text(text) for text in pair) for pair in (self._envelope.head, self._envelope.tail))
        parts = [pc.if_else(comes, *head), json_objects(rows), pc.if_else(comes, *tail), _text("")]
        return lines_of(pc.binary_join_element_wise(*parts))


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())
