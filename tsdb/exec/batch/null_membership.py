"""`x IN (…)` in a filter that DataFusion hands over as an Arrow expression: NULL for a NULL x, as in SQL.

DataFusion writes NOT IN as `invert(is_in(x))`, and to Arrow a NULL that is not in the set is simply not in it, so the
row would be found. The kernel can give NULL instead, but only C++ can ask it to. An expression is pickled as an Arrow
file, though, of one row: every constant and every set of options is a column, the tree is in the metadata. There the
option is set.

Source: Arrow, `compute/expression.cc` (Serialize), `SetLookupOptions::NullMatchingBehavior`.
"""

import pyarrow as pa
import pyarrow.compute as pc

_BEHAVIOR = "null_matching_behavior"
_EMIT_NULL = 2


def with_sql_nulls(filter: pc.Expression) -> pc.Expression:
    """The same filter, in which membership of NULL is NULL."""
    if "is_in(" not in str(filter):
        return filter
    restore, (pickled,) = filter.__reduce__()
    with pa.ipc.open_file(pickled) as file:
        tree = file.get_batch(0)
    columns = [_emitting_null(column) for column in tree.columns]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, tree.schema) as out:
        out.write_batch(pa.RecordBatch.from_arrays(columns, schema=tree.schema))
    changed: pc.Expression = restore(sink.getvalue())
    return changed


def _emitting_null(column: pa.Array) -> pa.Array:
    kind = column.type
    if not pa.types.is_struct(kind) or kind.get_field_index(_BEHAVIOR) < 0:
        return column
    chosen = pa.array([_EMIT_NULL] * len(column), kind.field(_BEHAVIOR).type)
    parts = [chosen if field.name == _BEHAVIOR else column.field(i) for i, field in enumerate(kind)]
    return pa.StructArray.from_arrays(parts, fields=list(kind))
