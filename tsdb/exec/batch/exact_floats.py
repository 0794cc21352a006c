"""Float columns of a scan, kept away from whoever takes NaN for something else than the greatest of all numbers.

To DataFusion NaN is greater than every number and equal to itself, as it is in DuckDB. Writers leave it out of the
statistics of Parquet files, though, by which DataFusion skips row groups and takes a column for constant, and to Arrow
a comparison with NaN is never true. A float column is therefore read as `x - 0.0`. That is x, but a filter on it is
neither judged by statistics nor handed to a scan in Python. The context must not collect statistics of whole files
either when such a column is read.
"""

import pyarrow as pa
from datafusion import DataFrame, col, lit
from datafusion.expr import Expr

from tsdb.exec.plan import quoted


def exact_floats(rows: DataFrame, schema: pa.Schema) -> DataFrame:
    """The rows of a scan, which have this schema, as they are to be queried."""
    if not any(pa.types.is_floating(field.type) for field in schema):
        return rows
    return rows.select(*map(_exact, schema))


def _exact(field: pa.Field) -> Expr:
    column = col(quoted(field.name))
    if not pa.types.is_floating(field.type):
        return column
    return (column - lit(pa.scalar(0.0, field.type))).alias(field.name)
