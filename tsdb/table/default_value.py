"""Defaults of columns: texts in the schema, which replace NULLs when rows are written.

Source: Paimon, `DefaultValueUtils`.
"""

import pyarrow as pa

from tsdb.data_types import MAX_LENGTH, DataField, DataType, TypeRoot
from tsdb.errors import DataError, NotSupportedError, ProgrammingError
from tsdb.table.evolution import convert

_STRING = DataType(TypeRoot.VARCHAR, length=MAX_LENGTH)
_STRUCTURED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW, TypeRoot.VARIANT, TypeRoot.BLOB)


def default_scalar(field: DataField) -> pa.Scalar:
    """The default of a field that has one, as a value of its type.

    Raises ProgrammingError for a text that is no value of the type, NotSupportedError for a structured type.
    """
    assert field.default_value is not None
    if field.type.root in _STRUCTURED:
        raise NotSupportedError(f"column `{field.name}`: a default for {field.type.sql()} is not supported")
    misfit = f"DEFAULT '{field.default_value}' of column `{field.name}` is no value of type {field.type.sql()}"
    try:
        value = convert(pa.array([field.default_value]), _STRING, field.type)[0]
    except DataError as err:
        raise ProgrammingError(misfit) from err
    too_long = field.type.length and len(field.default_value) > field.type.length
    if not value.is_valid or too_long:
        raise ProgrammingError(misfit)
    return value
