"""Where the changes of an input enter a dataflow."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tsdb.changes import ChangeBatch
from tsdb.errors import InternalError
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.dataflow import InputSpec
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream, flat_names
from tsdb.exec.streaming.operators.filter import add_filter
from tsdb.exec.streaming.operators.normalize import Normalize
from tsdb.exec.streaming.operators.project import select
from tsdb.exec.streaming.watermark import InputBound, Mark


class Scan:
    """Δout = Δin: the columns of an input that the query uses."""

    def __init__(self, name: str, columns: Sequence[str], schema: pa.Schema) -> None:
        """columns: names in the input; schema: what is emitted."""
        self._name = name
        self._columns = list(columns)
        self._schema = schema

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The same changes with fewer columns."""
        (delta,) = deltas
        rows = delta.rows.select(self._columns).rename_columns(self._schema.names)
        return ChangeBatch(rows if rows.schema.types == self._schema.types else rows.cast(self._schema), delta.weights)

    def describe(self) -> str:
        """The name and the columns."""
        return f"Scan {self._name} columns={self._columns}"


def build_scan(variant: Any, inputs: Mapping[str, InputSpec], graph: GraphBuilder) -> Stream:
    """Scan, Normalize for an upsert input, then the filters of the scan. `fetch` only bounds a batch."""
    name = variant.table_name()
    if name not in inputs:
        raise InternalError(f"the plan reads `{name}`, which is not an input; inputs are {sorted(inputs)}")
    spec = inputs[name]
    # a stream has at least one column, so that it has rows; the plan above does not see the extra one
    wanted = [flat.removeprefix(f"{name}.") for flat in flat_names(variant)] or spec.schema.names[:1]
    normalize = spec.mode == "upsert"
    hidden = [k for k in spec.upsert_key or () if k not in wanted] if normalize else []
    read = wanted + hidden
    schema = positional([spec.schema.field(c).type for c in read])
    columns = [PlanColumn(name, c) for c in read]
    key = [read.index(k) for k in spec.upsert_key] if spec.upsert_key and set(spec.upsert_key) <= set(read) else None
    stream = graph.add(
        Scan(name, read, schema), [], columns, schema, key=key, append_only=spec.mode == "append", input_name=name,
        marks=_marks(name, spec, read, graph),
    )  # fmt: skip
    if normalize:
        assert key is not None, f"an upsert input needs its key: {name}"
        stream = graph.add(Normalize(schema, key), [stream], columns, schema, key=key, marks=stream.marks)
    for predicate in variant.filters():
        stream = add_filter(predicate, stream, graph)
    return select(stream, range(len(wanted)), graph) if len(read) != len(wanted) else stream


def _marks(name: str, spec: InputSpec, read: Sequence[str], graph: GraphBuilder) -> tuple[Mark, ...]:
    """The time columns of an input."""
    arrival = [Mark(read.index(c), graph.arrival(), grows=True, arrival=True) for c in spec.arrival if c in read]
    if spec.rowtime is None or spec.rowtime not in read:
        return tuple(arrival)
    bound = graph.bound(InputBound(name, spec.schema.field(spec.rowtime).type))
    grows = spec.grows or spec.mode == "append"
    return (*arrival, Mark(read.index(spec.rowtime), bound, early=spec.early, grows=grows))
